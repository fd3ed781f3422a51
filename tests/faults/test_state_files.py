"""Files between the stages that change after they were written."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import read_dataset, write_dataset
from pipeline.data.split import make_split, read_split, stream_recordings, stream_split
from pipeline.data.training_data import read_training_data
from pipeline.errors import UserError
from pipeline.evaluation.ood import read_ood_detector
from tests.faults.special_files import link_to_itself, pipe
from tests.pipeline.registration import Workspace
from tests.pipeline.training.trainings import figures

COUNT = 12


def altered(path: Path, at: int = -3) -> None:
    """Flip the bits of one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def replaced(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def resized(path: Path) -> None:
    """Write the header of an array of 10^15 numbers, without the numbers."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A split with all optional files."""
    numbers = np.random.default_rng(0)
    images, labels = numbers.integers(0, 255, (COUNT, 6, 6, 1), np.uint8), np.arange(COUNT) % 3
    names = [f"{number}.wav" for number in range(COUNT)]
    groups = [f"speaker {number % 4}" for number in range(COUNT)]
    weights = np.linspace(1, 2, COUNT, dtype=np.float32)
    folder = tmp_path / "val"
    stream_split("val", images, labels, names, folder, groups=groups, weights=weights)
    stream_recordings(numbers.integers(-9, 9, (COUNT, 20), np.int16), folder)
    return folder


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a pixel": lambda folder: altered(folder / "images.npy"),
    "a label": lambda folder: np.save(folder / "labels.npy", np.arange(COUNT) % 4),
    "a label out of range": lambda folder: np.save(folder / "labels.npy", np.full(COUNT, 99)),
    "a weight": lambda folder: np.save(folder / "weights.npy", np.ones(COUNT, np.float32)),
    "no weights": lambda folder: (folder / "weights.npy").unlink(),
    "a name": lambda folder: replaced(folder / "names.json", json.dumps([f"{n}.png" for n in range(COUNT)])),
    "names are no list": lambda folder: replaced(folder / "names.json", "7"),
    "a group": lambda folder: replaced(folder / "groups.json", json.dumps(["one"] * COUNT)),
    "no groups": lambda folder: (folder / "groups.json").unlink(),
    "a recording": lambda folder: altered(folder / "recordings.npy"),
    "truncated images": lambda folder: replaced(folder / "images.npy", ""),
    "a digest": lambda folder: replaced(
        folder / "split.json", (folder / "split.json").read_text().replace('"digest": "', '"digest": "0')
    ),
    "another shape of the facts": lambda folder: replaced(folder / "split.json", "[1]"),
    "files are no mapping": lambda folder: replaced(
        folder / "split.json", json.dumps(json.loads((folder / "split.json").read_text()) | {"files": 3})
    ),
    "names of 30 GB": lambda folder: os.truncate(folder / "names.json", 30 << 30),
    "names nested deeply": lambda folder: replaced(folder / "names.json", "[" * 200_000),
    "facts nested deeply": lambda folder: replaced(folder / "split.json", "[" * 200_000),
    "labels of 8 petabytes": lambda folder: resized(folder / "labels.npy"),
    "an archive instead of the labels": lambda folder: (
        np.savez(folder / "labels"),
        (folder / "labels.npz").replace(folder / "labels.npy"),
    ),
    "weights of 8 petabytes": lambda folder: resized(folder / "weights.npy"),
    "a pipe instead of the names": lambda folder: pipe(folder / "names.json"),
    "a pipe instead of the images": lambda folder: pipe(folder / "images.npy"),
    "a pipe instead of the weights": lambda folder: pipe(folder / "weights.npy"),
    "a link to itself": lambda folder: link_to_itself(folder / "labels.npy"),
    "a file instead of the folder": lambda folder: (shutil.rmtree(folder), folder.write_text("")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_split_that_changed_after_prepare_is_refused(split: Path, what: str) -> None:
    """No stage uses images, labels, weights, names, groups or recordings that changed after `prepare` wrote them.

    Changes bytes and values of each file of a split, removes files, makes them huge or nested deeply, puts named pipes
    and links to themselves in their place, and reads the split as every stage does.
    """
    read_split(split, "val")
    DAMAGE[what](split)
    with pytest.raises(UserError, match=r"prepare`$"):
        read_split(split, "val")


def test_splits_of_another_dataset_are_refused(tmp_path: Path) -> None:
    """A stage refuses splits that do not belong to dataset.json.

    Replaces the training split by that of another dataset, which is intact.
    """
    data = figures()
    (folder := tmp_path / "data").mkdir()
    write_dataset(data.dataset, folder / "dataset.json")
    for each in (data.train, data.val):
        stream_split(each.name, each.images, each.labels, each.names, folder / each.name)
    read_training_data(folder)
    other = make_split("train", data.train.images[::-1], data.train.labels[::-1])
    shutil.rmtree(folder / "train")
    stream_split("train", other.images, other.labels, (), folder / "train")
    with pytest.raises(UserError, match=r"dataset\.json must describe the train split"):
        read_training_data(folder)


def test_the_description_of_a_dataset_is_read_with_a_bound(tmp_path: Path) -> None:
    """A description of a dataset that is huge, nested deeply or a named pipe is refused at once.

    Makes dataset.json a file of 30 GB without content, 200,000 open brackets, and a pipe.
    """
    path = tmp_path / "dataset.json"
    path.touch()
    for damage in (lambda: os.truncate(path, 30 << 30), lambda: replaced(path, "[" * 200_000), lambda: pipe(path)):
        damage()
        with pytest.raises(UserError, match=r"dataset\.json: must .*`$"):
            read_dataset(path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `evaluate`."""
    made = Workspace(tmp_path_factory.mktemp("evaluated"))
    made.network(0.0)
    made.write()
    return made.root


@pytest.fixture
def evaluated(written: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(written, tmp_path / "copy"))


def metrics(workspace: Workspace, **changes: float | None) -> None:
    path = workspace.paths.evaluation / "metrics.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


EDITS: dict[str, Callable[[Workspace], Any]] = {
    "a better metric": lambda workspace: metrics(workspace, log_loss=0.1),
    "a metric that is not a number": lambda workspace: metrics(workspace, accuracy=float("nan")),
    "one metric more": lambda workspace: metrics(workspace, robustness=1.0),
    "one metric less": lambda workspace: metrics(workspace, log_loss=None),
    "metrics in another file": lambda workspace: replaced(
        workspace.paths.evaluation / "details.json", '{"log_loss": 0.1}'
    ),
    "no mapping": lambda workspace: replaced(workspace.paths.evaluation / "metrics.json", "[1, 2]"),
    "details are no mapping": lambda workspace: replaced(workspace.paths.evaluation / "details.json", "3"),
    "a text": lambda workspace: replaced(workspace.paths.evaluation / "metrics.json", '{"accuracy": "high"}'),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", EDITS)
def test_metrics_that_changed_after_the_evaluation_do_not_reach_the_gate(evaluated: Workspace, what: str) -> None:
    """The gate uses only metrics that `evaluate` wrote.

    Edits metrics.json and details.json, also to NaN, and runs `register`.
    """
    EDITS[what](evaluated)
    with pytest.raises(UserError, match=r"evaluate`$"):
        evaluated.decide()
    assert not evaluated.paths.report.exists()


@pytest.mark.slow
def test_a_network_whose_file_changed_is_not_registered(evaluated: Workspace) -> None:
    """A network is registered only if its file is the one that was trained and evaluated.

    Replaces the file by an intact network with other weights, and runs `register`.
    """
    evaluated.network(2.0)
    with pytest.raises(UserError, match="must be the network of the evaluation"):
        evaluated.decide()


@pytest.mark.slow
def test_an_evaluation_on_other_test_data_is_refused(evaluated: Workspace) -> None:
    """The gate uses metrics of the current test split only.

    Replaces the test split by an intact one with other images, and runs `register`.
    """
    evaluated.version = 1
    folder = evaluated.paths.prepared / "test"
    shutil.rmtree(folder)
    test = evaluated.test()
    stream_split("test", test.images, test.labels, (), folder)
    described = read_dataset(evaluated.paths.prepared / "dataset.json")
    write_dataset(
        described.model_copy(update={"digests": {"test": test.digest}}), evaluated.paths.prepared / "dataset.json"
    )
    with pytest.raises(UserError, match="must be an evaluation on the current test split"):
        evaluated.decide()


@pytest.mark.slow
def test_a_damaged_out_of_distribution_detector_is_noticed(evaluated: Workspace) -> None:
    """A damaged detector is refused; none with other values is used.

    Alters single bytes all over the file, and truncates it.
    """
    path = evaluated.paths.ood_detector
    intact, content = read_ood_detector(path), path.read_bytes()
    refused = 0
    for at in range(0, len(content), 97):
        altered(path, at)
        try:
            found = read_ood_detector(path)
        except UserError:
            refused += 1
        else:  # a byte that carries no value, such as a date in the archive
            assert found.threshold == intact.threshold
            np.testing.assert_array_equal(found.centres, intact.centres)
            np.testing.assert_array_equal(found.directions, intact.directions)
        path.write_bytes(content)
    assert refused > 10
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="evaluate"):
        read_ood_detector(path)
