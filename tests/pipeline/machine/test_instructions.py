"""The instruction sets that are recorded with each run."""

import os
import subprocess
import sys

import pytest

from pipeline.machine.instructions import instruction_tags, onednn, openblas, processor_flags
from tests.conftest import ROOT

AVX2 = {"sse4_1", "avx", "avx2"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}


@pytest.mark.parametrize(
    ("flags", "environment", "chosen"),
    [
        (AVX2, {}, "AVX2"),
        (AVX512, {}, "AVX512_CORE"),
        (AVX512 | {"avx512_vnni", "avx512_bf16"}, {}, "AVX512_CORE_BF16"),
        (AVX512, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX2"),
        (AVX512, {"ONEDNN_MAX_CPU_ISA": "sse41"}, "SSE41"),
        (AVX2, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX2"),
        (AVX2, {"ONEDNN_MAX_CPU_ISA": "ALL"}, "AVX2"),
        (AVX2, {"TF_ENABLE_ONEDNN_OPTS": "0"}, "off"),
        (set(), {}, ""),
    ],
)
def test_onednn_instructions_depend_on_the_processor_and_the_environment(
    flags: set[str], environment: dict[str, str], chosen: str
) -> None:
    assert onednn(flags, environment) == chosen


def test_openblas_kernels_follow_the_environment_variable() -> None:
    if not processor_flags():
        pytest.skip("not a Linux machine with an x86 processor")
    assert openblas()
    code = "from pipeline.machine.instructions import openblas; print(openblas())"
    variables = os.environ | {"OPENBLAS_CORETYPE": "Nehalem", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Nehalem"


def test_unknown_instruction_sets_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.machine.instructions.processor_flags", set)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert "device.onednn" not in instruction_tags()


def test_a_run_records_the_instruction_sets() -> None:
    from pathlib import Path

    from pipeline.tracking.environment import describe_environment

    assert instruction_tags().items() <= describe_environment(Path(".")).items()
