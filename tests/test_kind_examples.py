"""The examples for series, audio and volumes run from the data to a champion that classifies a new file, as does what
`init` writes, each with a small budget."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.signals.recording import wav_bytes
from tests.conftest import ROOT, clone
from tests.installed import NEEDS_SOUNDFILE

STAGES = (  # in one process, which imports TensorFlow once
    "from pipeline import check, evaluate, prepare, register, train; from search.commands import search; "
    "check.main(); prepare.main(); search('search'); train.main(); evaluate.main(); register.main()"
)
SMALL: dict[str, Any] = {
    "training.epochs": 20, "training.patience": None, "search.trials": 1, "search.epochs": 2, "search.min_epochs": 1,
    "search.min_steps": 0, "search.finalists.count": 0, "search.engine": "inline", "search.workers": 1,
    "evaluate.resamples": 100, "evaluate.corruptions": ["noise"], "evaluate.pixel_permutation.epochs": 1,
    "evaluate.interpretation.images": 1, "evaluate.interpretation.channels": 2,
}  # fmt: skip
BRIEF_TONES = {"data.audio.rate": 8000, "data.audio.seconds": 0.3, "evaluate.top_k": 2}
SMALL_SOLIDS = {
    "data.volume.shape": [16, 16, 16], "training.batch_size": 8, "evaluate.top_k": 2, "evaluate.corruptions": ["shift"],
}  # fmt: skip


def changed(path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a params file with changes by dotted key."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    for key, value in changes.items():
        section = content
        *parents, last = key.split(".")
        for parent in parents:
            section = section[parent]
        assert last in section, key
        section[last] = value
    return content


def bump(at: float, numbers: np.random.Generator) -> np.ndarray:
    """A noisy series of 30 time steps with a bump."""
    time = np.arange(30)
    return np.exp(-(((time - at) / 3) ** 2)) + numbers.normal(0, 0.1, 30)


def write_series(raw: Path) -> tuple[Path, str]:
    """Series whose bump is narrow in class 1 and inverted in class 2; return a new one of class 2 with its class."""
    numbers, folder = np.random.default_rng(0), raw / "GunPoint"
    folder.mkdir()
    for split, count in {"TRAIN": 40, "TEST": 20}.items():
        cases = [
            ",".join(f"{value:.4f}" for value in sign * bump(numbers.uniform(8, 22), numbers)) + f":{label}"
            for label, sign in (("1", 1), ("2", -1))
            for _ in range(count)
        ]
        header = ["@problemName GunPoint", "@classLabel true 1 2", "@data"]
        (folder / f"GunPoint_{split}.ts").write_text("\n".join([*header, *cases]))
    new = raw.parent / "new.csv"
    new.write_text("\n".join(map(str, -bump(15, numbers))))
    return new, "2"


def write_tones(raw: Path) -> tuple[Path, str]:
    """Low and high tones with noise, in three splits; return a new low one at another rate with its class."""
    numbers = np.random.default_rng(0)

    def tone(path: Path, hertz: float, rate: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(round(0.3 * rate)) / rate
        sound = 0.3 * np.sin(2 * np.pi * hertz * time) + numbers.normal(0, 0.01, len(time))
        path.write_bytes(wav_bytes(sound.astype(np.float32), rate))

    for split, count in {"train": 30, "val": 10, "test": 10}.items():
        for name, hertz in {"low": 300, "high": 900}.items():
            for number in range(count):
                tone(raw / "spoken_digits" / split / name / f"{number}.wav", hertz * numbers.uniform(0.9, 1.1), 8000)
    tone(raw.parent / "new.wav", 310, 44100)
    return raw.parent / "new.wav", "low"


def make_solids(raw: Path) -> tuple[Path, str]:
    """Balls and rods in three splits; return a new rod with its class."""
    write_solids = run_path(str(ROOT / "benchmarks/solids.py"))["write_solids"]
    write_solids(raw / "solids", {"train": 40, "val": 10, "test": 20}, ("ball", "rod"))
    write_solids(raw.parent / "new", {"new": 1}, ("rod",))
    return next((raw.parent / "new").rglob("*.npy")), "rod"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "changes", "kind", "least"),
    [
        ("gunpoint", write_series, {}, "series", 0.8),
        pytest.param(None, write_series, {}, "series", 0.8, marks=pytest.mark.long),
        pytest.param("spoken_digits", write_tones, BRIEF_TONES, "audio", 0.8, marks=NEEDS_SOUNDFILE),
        ("solids", make_solids, SMALL_SOLIDS, "volume", 0.75),
    ],
    ids=["series", "init", "audio", "volumes"],
)
def test_a_params_file_runs_from_its_data_to_a_champion(
    tmp_path: Path,
    name: str | None,
    write: Callable[[Path], tuple[Path, str]],
    changes: dict[str, Any],
    kind: str,
    least: float,
) -> None:
    made = clone(tmp_path / "clone")
    new, expected = write(made.root / "data/raw")
    if name is None:
        made.run("python", "-m", "pipeline.init", "--data", "data/raw/GunPoint")
    content = changed(made.root / ("params.yaml" if name is None else f"examples/{name}.yaml"), SMALL | changes)
    with (made.root / "params.yaml").open("w") as file:
        YAML().dump(content, file)
    made.run("python", "-c", STAGES)
    dataset = json.loads((made.root / "data/prepared/dataset.json").read_text())
    assert (dataset["kind"], dataset["input_format"]["kind"]) == (kind, kind)
    assert json.loads((made.root / "reports/evaluate/metrics.json").read_text())["accuracy"] > least
    found = json.loads(made.run("python", "-m", "pipeline.predict", "--format", "json", str(new)).stdout)
    assert found[0]["predictions"][0]["class"] == expected
