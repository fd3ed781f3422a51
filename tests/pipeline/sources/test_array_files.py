from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.source import Source
from tests.installed import NEEDS_ZARR
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 5, 4), np.uint8)
LABELS = np.arange(10) % 2


def save(kind: str, folder: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Save arrays in the form of a source, and return its name."""
    path = folder / {"npz": "mine.npz", "npy": "mine", "hdf5": "mine.h5", "zarr": "mine.zarr"}[kind]
    if kind == "npz":
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    elif kind == "npy":
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                text = array.dtype.kind == "U"
                file.create_dataset(name, data=array.astype(object) if text else array)
    else:
        import zarr

        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        for name, array in arrays.items():
            group.create_array(name, data=array)
    return f"{kind}:{path}"


def loaded(kind: str, folder: Path, **arrays: np.ndarray) -> Source:
    return load(data_params(source=save(kind, folder, arrays)), seed=0)


KINDS = ["npz", "npy", "hdf5", pytest.param("zarr", marks=NEEDS_ZARR)]


@pytest.mark.parametrize("kind", KINDS)
def test_samples_labels_and_classes_are_read(tmp_path: Path, kind: str) -> None:
    source = loaded(
        kind, tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:4], y_test=LABELS[:4, None],
        classes=np.array(["cat", "dog"]),
    )  # fmt: skip
    assert (source.name, source.classes) == ("mine", ("cat", "dog"))
    images, labels = source.parts["train"]
    assert images.shape == (10, 5, 4, 1)
    np.testing.assert_array_equal(images[np.array([1, 7])][..., 0], IMAGES[[1, 7]])
    assert labels.tolist() == LABELS.tolist()
    assert source.parts["test"][1].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_not_read_before_they_are_needed(tmp_path: Path, kind: str) -> None:
    source = loaded(kind, tmp_path, x_train=IMAGES.astype(np.float64), y_train=LABELS)
    images, _ = source.parts["train"]
    assert not isinstance(images, np.ndarray)
    assert images[2:5].dtype == np.float32


def test_integers_that_would_be_rounded_are_refused_with_their_row(tmp_path: Path) -> None:
    samples = IMAGES.astype(np.int64)
    samples[7, 2, 1] = 2**24 + 1
    images, _ = loaded("npy", tmp_path, x_train=samples, y_train=LABELS).parts["train"]
    for chosen in (slice(5, 10), np.array([1, 7, 8])):
        with pytest.raises(
            UserError, match=r"train: integers beyond 16,777,216 .* got 16,777,217 at 7, 2, 1; subtract"
        ):
            images[chosen]


@pytest.mark.parametrize("kind", KINDS)
def test_booleans_are_read_as_0_and_1(tmp_path: Path, kind: str) -> None:
    masks = IMAGES > 100
    source = loaded(kind, tmp_path, x_train=masks, y_train=LABELS.astype(bool))
    images, labels = source.parts["train"]
    assert images.dtype == images[:].dtype == np.float32
    np.testing.assert_array_equal(images[:][..., 0], masks.astype(np.float32))
    assert (source.classes, labels.tolist()) == (("0", "1"), LABELS.tolist())


@pytest.mark.parametrize(("samples", "labels"), [("train_images", "train_labels"), ("images", "labels")])
def test_other_usual_names_are_accepted(tmp_path: Path, samples: str, labels: str) -> None:
    source = loaded("npz", tmp_path, **{samples: IMAGES, labels: LABELS})
    assert source.parts["train"][0].shape == (10, 5, 4, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_may_be_names_of_classes(tmp_path: Path, kind: str) -> None:
    names = np.array(["dog", "cat"] * 5)
    source = loaded(kind, tmp_path, x_train=IMAGES, y_train=names, x_val=IMAGES[:3], y_val=names[:3])
    assert source.classes == ("cat", "dog")
    assert source.parts["train"][1].tolist() == [1, 0] * 5
    assert source.parts["val"][1].tolist() == [1, 0, 1]


def test_names_have_the_order_of_the_declared_classes(tmp_path: Path) -> None:
    names = np.array(["dog", "cat"] * 5)
    source = loaded("npz", tmp_path, x_train=IMAGES, y_train=names, classes=np.array(["dog", "horse", "cat"]))
    assert source.classes == ("dog", "horse", "cat")
    assert source.parts["train"][1].tolist() == [0, 2] * 5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": IMAGES, "b": LABELS}, "must contain x_train and y_train, got a, b; add or rename the arrays"),
        ({"x_train": IMAGES}, "must contain both x_train and y_train, got only one of them, among x_train"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "images": IMAGES, "labels": LABELS},
            "must contain one array of train samples, got x_train and images; remove one",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS[:9]},
            "one label per sample, got 10 samples in x_train, 9 labels in y_train",
        ),
        ({"x_train": IMAGES, "y_train": np.int64(3)}, "got 10 samples in x_train, 1 labels in y_train"),
        (
            {"x_train": IMAGES, "y_train": np.eye(2)[LABELS]},
            r"y_train must contain one label per row, got shape \(10, 2\); if it is one-hot, save y_train.argmax",
        ),
        ({"x_train": IMAGES, "y_train": LABELS / 2}, "labels of train must be integers, got float64"),
        (
            {"x_train": np.array(["a"] * 10), "y_train": LABELS},
            "x_train must contain numbers, one row per sample, got <U1",
        ),
        ({"x_train": np.arange(10), "y_train": LABELS}, r"x_train must contain numbers, one row per sample, got int64"),
        (
            {"x_train": IMAGES, "y_train": np.array(["cat", "dog"] * 5), "classes": np.array(["dog", "cow"])},
            r"labels of train must be among classes \(dog, cow\), got 'cat' at index 0 \(and 4 more\)",
        ),
        (
            {"x_train": IMAGES, "y_train": np.array(["cat", "dog"] * 5), "x_test": IMAGES, "y_test": LABELS},
            "labels of all splits must be of one kind, got numbers in test and names in others",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "classes": np.array([["a"], ["b"]])},
            "classes must be a list of names",
        ),
        ({"x_train": IMAGES.astype(np.complex64), "y_train": LABELS}, "must contain numbers, got complex64"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=f"data.source: .*mine.*{message}"):
        loaded("npz", tmp_path, **arrays)


def test_many_labels_for_few_samples_are_not_read(tmp_path: Path) -> None:
    """The labels would take a terabyte."""
    np.save(tmp_path / "images.npy", IMAGES)
    with (tmp_path / "labels.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**40,)})
        file.truncate(file.tell() + 2**40)
    with pytest.raises(UserError, match="got 10 samples in images, 1099511627776 labels in labels"):
        load(data_params(source=f"npy:{tmp_path}"), seed=0)


@pytest.mark.parametrize(("kind", "what"), [("npz", "file"), ("npy", "folder"), ("hdf5", "file")])
def test_missing_files_are_reported(tmp_path: Path, kind: str, what: str) -> None:
    with pytest.raises(UserError, match=rf"data\.source: {kind}:.*nowhere: no such {what}"):
        load(data_params(source=f"{kind}:{tmp_path / 'nowhere'}"), seed=0)
