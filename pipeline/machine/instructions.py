"""Instruction sets of the processor that a run uses. Different instruction sets round differently."""

import os

from pipeline.backend.precision import onednn_limit, processor_flags

# oneDNN's instruction sets, newest first, and the processor flags that each requires.
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
    """Tags with the instruction sets of oneDNN, which TensorFlow uses, and OpenBLAS, which numpy and scipy use.

    Unknown values are left out. That of oneDNN is known on Linux only.
    """
    chosen = {"device.onednn": onednn(processor_flags(), os.environ), "device.openblas": openblas()}
    return {name: choice for name, choice in chosen.items() if choice}


def onednn(flags: set[str], environment: "os._Environ[str] | dict[str, str]") -> str:
    """Instruction set of oneDNN, in its own terms; `off` if TensorFlow does not use oneDNN; empty if unknown.

    Args:
        flags: Processor flags, as Linux names them.
        environment: Environment variables: ONEDNN_MAX_CPU_ISA sets a limit, TF_ENABLE_ONEDNN_OPTS=0 disables oneDNN.
    """
    limit = onednn_limit(environment)
    if limit is None:
        return "off"
    allowed = _STEPS[_NAMES.index(limit) :] if limit in _NAMES else _STEPS
    return next((name for name, needed in allowed if needed <= flags), "")


def openblas() -> str:
    """Kernels of the OpenBLAS that numpy and scipy have loaded. OPENBLAS_CORETYPE selects others."""
    import numpy  # noqa: F401  # threadpoolctl reports loaded libraries only
    from threadpoolctl import threadpool_info

    kernels = {str(each["architecture"]) for each in threadpool_info() if each.get("internal_api") == "openblas"}
    return ", ".join(sorted(kernels))
