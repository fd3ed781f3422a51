"""The compute dtype of a training run."""

import pytest

from pipeline.backend import precision
from pipeline.backend.precision import compute_dtype
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import Geometry, compute_geometry
from pipeline.errors import UserError
from pipeline.params import Block, Head


def geometry(filters: int) -> Geometry:
    blocks = (Block(filters=filters), Block(filters=filters))
    return compute_geometry(Architecture(input_shape=(28, 28, 1), classes=2, blocks=blocks, head=Head()))


SMALL, LARGE = geometry(2), geometry(64)
NEW, OLD = {"avx2", "avx512_bf16"}, {"avx2"}


CASES: list[tuple[set[str], dict[str, str], bool]] = [
    (NEW, {}, True),
    (NEW, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
    (NEW, {"DNNL_MAX_CPU_ISA": "AVX2"}, False),
    (NEW, {"TF_ENABLE_ONEDNN_OPTS": "0"}, False),
    (OLD, {}, False),
]


@pytest.fixture(params=CASES, ids=["new", "limited", "limited by the former name", "without oneDNN", "old"])
def has_instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the simulated processor has bfloat16 instructions that oneDNN may use."""
    flags, environment, expected = request.param
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return bool(expected)


def test_automatic_precision_is_bfloat16_if_the_processor_supports_it(has_instructions: bool) -> None:
    assert compute_dtype("auto", LARGE) == ("bfloat16" if has_instructions else "float32")


def test_bfloat16_is_refused_if_the_processor_does_not_support_it(has_instructions: bool) -> None:
    if has_instructions:
        assert compute_dtype("bfloat16", SMALL) == "bfloat16"
        return
    with pytest.raises(UserError, match=r"training\.precision: bfloat16 requires a device with .* set precision: auto"):
        compute_dtype("bfloat16", SMALL)


def test_float32_is_always_available(has_instructions: bool) -> None:
    assert compute_dtype("float32", LARGE) == "float32"


def test_automatic_precision_is_float32_for_small_networks(has_instructions: bool) -> None:
    assert compute_dtype("auto", SMALL) == "float32"
