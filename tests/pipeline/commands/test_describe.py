"""`fovea describe FILE`: the layer table on the terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def show(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "describe", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", sorted((ROOT / "examples/architectures").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_has_a_table(path: Path) -> None:
    done = show(path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split("  ")[-2:] == ["receptive field", "total stride"]


def test_the_table_has_the_values_of_each_layer() -> None:
    lines = [line.split() for line in show(ROOT / "examples/architectures/lenet5.yaml").stdout.splitlines()]
    assert ["block2_conv1", "convolution", "10×10×16", "2,416", "240,000", "14×14", "2×2"] in lines
    assert ["parameters", "61,706", "(61,706", "trainable)"] in lines


def test_an_infeasible_architecture_is_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    text = (ROOT / "examples/architectures/lenet5.yaml").read_text()
    assert "kernel_size: 5" in text
    path.write_text(text.replace("kernel_size: 5", "kernel_size: 50"))
    done = show(path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path}: ")
    assert "larger than its feature map" in done.stderr
    assert "Traceback" not in done.stderr
