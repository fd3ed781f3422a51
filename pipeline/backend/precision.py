"""The compute dtype of a training run on this device."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal

from pipeline.backend.name import backend_name
from pipeline.cnn.geometry import Geometry
from pipeline.errors import UserError

Precision = Literal["float32", "bfloat16", "auto"]
ComputeDtype = Literal["float32", "bfloat16"]
# Multiply-accumulates, or values of all layer outputs, per image. Of 20 networks that the default space draws for
# 28×28, those above took 0.46 to 1.01 times as long in bfloat16 as in float32 on a processor with AVX-512, those below
# 1.05 to 1.49 times.
_LARGE_MACS, _LARGE_OUTPUTS = 1_000_000, 50_000


def compute_dtype(precision: Precision, geometry: Geometry) -> ComputeDtype:
    """The dtype in which a network is trained on the device of this process. Weights are always float32.

    `auto` is bfloat16 if the device has instructions for it, unless float32 is faster: for small networks, whose
    convolutions gain less than the conversions cost, and for JAX on processors. It is float32 for backbones.

    Args:
        precision: `training.precision`.
        geometry: Geometry of the network.

    Raises:
        UserError: bfloat16 is demanded of a device that has no instructions for it, and would be about ten times slower
            than float32. Or the network is a backbone, whose results in bfloat16 would not be reproducible.
    """
    # In bfloat16, a backbone gave other results in another process (docs/backbones.md).
    has_backbone = any(entry.layer.kind == "backbone" for entry in geometry.layers)
    if has_backbone and precision == "bfloat16":
        raise UserError("training.precision: must be auto or float32 for model.backbone, got bfloat16; change it")
    if precision == "auto":
        gains = _is_large(geometry) and not is_jax_on_a_processor() and not has_backbone
        return "bfloat16" if gains and has_bfloat16() else "float32"
    if precision == "bfloat16" and not has_bfloat16():
        raise UserError(
            "training.precision: bfloat16 requires a device with bfloat16 instructions, which this one lacks; set "
            "precision: auto, which uses bfloat16 where it is faster, or float32"
        )
    return precision


def _is_large(geometry: Geometry) -> bool:
    values = geometry.activation_bytes // 4
    return geometry.macs >= _LARGE_MACS or values >= _LARGE_OUTPUTS


def has_bfloat16() -> bool:
    """Whether the device that the backend uses has bfloat16 instructions."""
    match backend_name():
        case "tensorflow":
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
            details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
            if gpus:  # NVIDIA GPUs have them if the compute capability is at least 8.0
                return all(each.get("compute_capability", (0, 0)) >= (8, 0) for each in details)
        case "jax":
            device = import_module("jax").devices()[0]
            if device.platform != "cpu":
                return device.platform == "tpu" or float(getattr(device, "compute_capability", 0.0)) >= 8.0
        case "torch":
            torch = import_module("torch")
            if torch.cuda.is_available():
                return bool(torch.cuda.is_bf16_supported())
    return bool(processor_flags() & {"avx512_bf16", "amx_bf16"}) and _onednn_has_bfloat16()


def is_jax_on_a_processor() -> bool:
    """Whether the backend is JAX without an accelerator, where neither bfloat16 nor compiled loops are faster."""
    return backend_name() == "jax" and bool(import_module("jax").devices()[0].platform == "cpu")


def processor_flags() -> set[str]:
    """Processor flags, as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def onednn_limit(environment: Mapping[str, str]) -> str | None:
    """The instruction set to which the environment limits oneDNN, `ALL` without a limit; None if oneDNN is off."""
    if environment.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false"):
        return None
    return (environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or "ALL").upper()


def _onednn_has_bfloat16() -> bool:
    """Whether oneDNN may use the instructions. TensorFlow does not check it."""
    limit = onednn_limit(os.environ)
    return limit is not None and (
        limit in ("ALL", "DEFAULT") or any(part in limit for part in ("BF16", "FP16", "AMX", "AVX10"))
    )
