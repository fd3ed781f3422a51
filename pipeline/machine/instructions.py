"""Which instructions of the processor a run computes with; another choice rounds in another way."""

import os
from pathlib import Path

# Steps of oneDNN's choice, from the last to the first, and the processor flags that each needs.
_STEPS = (
    ("AVX10_1_512_AMX", {"amx_tile", "amx_int8", "amx_bf16", "avx512_fp16"}),
    ("AVX512_CORE_FP16", {"avx512_fp16", "avx512bw", "avx512vl"}),
    ("AVX512_CORE_BF16", {"avx512_bf16", "avx512bw", "avx512vl"}),
    ("AVX512_CORE_VNNI", {"avx512_vnni", "avx512bw", "avx512vl"}),
    ("AVX512_CORE", {"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    ("AVX2_VNNI_2", {"avx2", "avx_vnni", "avx_ne_convert"}),
    ("AVX2_VNNI", {"avx2", "avx_vnni"}),
    ("AVX2", {"avx2"}),
    ("AVX", {"avx"}),
    ("SSE41", {"sse4_1"}),
)
_NAMES = [name for name, _ in _STEPS]


def instruction_tags() -> dict[str, str]:
    """Tags on the choice of oneDNN, which TensorFlow computes with, and of OpenBLAS, which numpy and scipy do.

    A choice that cannot be known is left out: off Linux that of oneDNN.
    """
    chosen = {"device.onednn": onednn(processor_flags(), os.environ), "device.openblas": openblas()}
    return {name: choice for name, choice in chosen.items() if choice}


def onednn(flags: set[str], environment: "os._Environ[str] | dict[str, str]") -> str:
    """The instruction set of oneDNN, in its own names; `off` where TensorFlow does not use it; empty if unknown.

    Args:
        flags: of the processor, as Linux names them.
        environment: ONEDNN_MAX_CPU_ISA sets a limit, TF_ENABLE_ONEDNN_OPTS=0 switches oneDNN off.
    """
    if environment.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false"):
        return "off"
    limit = (environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or "").upper()
    allowed = _STEPS[_NAMES.index(limit) :] if limit in _NAMES else _STEPS
    return next((name for name, needed in allowed if needed <= flags), "")


def openblas() -> str:
    """The kernels of the OpenBLAS that numpy and scipy have loaded; OPENBLAS_CORETYPE chooses others."""
    import numpy  # noqa: F401  # what is not loaded cannot be asked
    from threadpoolctl import threadpool_info

    kernels = {str(each["architecture"]) for each in threadpool_info() if each.get("internal_api") == "openblas"}
    return ", ".join(sorted(kernels))


def processor_flags() -> set[str]:
    """The instructions that the processor has, as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
