import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load

FASHION = Path("/usr/share/datasets/fashion-mnist")


def write_image(path: Path, size: tuple[int, int] = (10, 8), mode: str = "RGB", seed: int = 0) -> None:
    """Write an image of noise; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def noise_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 3), dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes((0, 0, 8, array.ndim)) + b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def idx_folder(folder: Path) -> Path:
    folder.mkdir()
    for stem, count in (("train", 20), ("t10k", 10)):
        write_idx(folder / f"{stem}-images-idx3-ubyte", np.arange(count * 6).reshape(count, 3, 2) % 256)
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", np.arange(count) % 2)
    return folder


def test_digits_are_those_of_scikit_learn() -> None:
    source = load(data_params(), seed=0)
    images, labels = source.parts["train"]
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_idx_files_plain_and_gzipped_are_read(tmp_path: Path) -> None:
    source = load(data_params(source=f"idx:{idx_folder(tmp_path / 'mine')}"), seed=0)
    images, labels = source.parts["test"]
    assert images.shape == (10, 3, 2, 1)
    assert images[1:2].ravel().tolist() == [6, 7, 8, 9, 10, 11]
    assert labels.tolist() == [0, 1] * 5
    assert source.name == "mine"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "an empty file"),
        ("train-images-idx3-ubyte", b"\x89PNG....", "00 00 08 03"),
        (
            "train-images-idx3-ubyte",
            bytes((0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 1, 2)),
            "729 bytes of data for shape 9×9×9, got 2",
        ),
        ("train-labels-idx1-ubyte.gz", b"\x1f\x8b\x08\x00", "must be a complete gzipped IDX file"),
        ("t10k-labels-idx1-ubyte.gz", None, "must contain t10k-labels-idx1-ubyte, plain or gzipped"),
    ],
)
def test_damaged_idx_files_are_reported(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    folder = idx_folder(tmp_path / "mine")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(data_params(source=f"idx:{folder}"), seed=0)


def array_file(kind: str, folder: Path) -> Path:
    """Write a source with 20 training images that are not compressed, and return the file of the images."""
    images, labels = np.arange(120, dtype=np.uint8).reshape(20, 3, 2), np.arange(20) % 2
    if kind == "idx":
        return idx_folder(folder) / "train-images-idx3-ubyte"
    if kind == "npz":
        np.savez(folder, x_train=images, y_train=labels)
        return folder.with_suffix(".npz")
    folder.mkdir()
    np.save(folder / "y_train.npy", labels)
    np.save(folder / "x_train.npy", images if kind == "npy" else np.asfortranarray(images))
    return folder / "x_train.npy"


@pytest.mark.parametrize("change", ["truncated", "altered"])
@pytest.mark.parametrize("kind", ["npy", "npy in Fortran order", "npz", "idx"])
def test_array_files_that_change_while_they_are_read_are_refused(tmp_path: Path, kind: str, change: str) -> None:
    path = array_file(kind, tmp_path / "mine")
    os.utime(path, (0, 0))
    place = path if kind == "npz" else path.parent
    images, _ = load(data_params(source=f"{kind.split()[0]}:{place}"), seed=0).parts["train"]
    expected = np.arange(120).reshape(20, 3, 2, 1)
    np.testing.assert_array_equal(images[:5], expected[:5])
    np.testing.assert_array_equal(images[np.array([5, 9, 19])], expected[[5, 9, 19]])
    with path.open("r+b") as file:
        file.write(file.read(1)) if change == "altered" else file.truncate(200 if kind == "npz" else 20)
    with pytest.raises(UserError, match="must not change while it is read; wait until it is complete"):
        images[5:10]


@pytest.mark.slow
def test_fashion_mnist_is_read_completely() -> None:
    assert FASHION.is_dir(), "install Debian's package dataset-fashion-mnist"
    source = load(data_params(source=f"idx:{FASHION}"), seed=0)
    assert source.parts["train"][0].shape == (60_000, 28, 28, 1)
    assert np.bincount(source.parts["test"][1]).tolist() == [1000] * 10
    assert source.classes[9] == "ankle boot"


def test_folders_of_images_are_classes_sorted_by_name(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number, ending in enumerate(("png", "jpg", "bmp", "gif", "webp")):
            write_image(tmp_path / name / f"{number}.{ending}", seed=number)
        (tmp_path / name / ".hidden").write_text("no image")
    source = load(data_params(source=f"images:{tmp_path}", color_mode="rgb"), seed=0)
    images, labels = source.parts["train"]
    assert source.classes == ("cat", "dog")
    assert images.shape == (10, 8, 10, 3)
    assert labels.tolist() == [0] * 5 + [1] * 5


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("test", 3)):
        for name in ("a", "b"):
            for number in range(count):
                write_image(tmp_path / split / name / f"{number}.png", seed=number)
    source = load(data_params(source=f"images:{tmp_path}"), seed=0)
    assert {split: len(labels) for split, (_, labels) in source.parts.items()} == {"train": 8, "test": 6}


def test_colour_modes_are_converted_and_images_are_resized(tmp_path: Path) -> None:
    for number, mode in enumerate(("RGB", "L", "RGBA", "P", "1", "CMYK", "LA")):
        ending = "jpg" if mode == "CMYK" else "png"
        write_image(tmp_path / "a" / f"{number}.{ending}", size=(9 + number, 12), mode=mode)
        write_image(tmp_path / "b" / f"{number}.{ending}", size=(9, 12 + number), mode=mode)
    source = load(data_params(source=f"images:{tmp_path}", image_size=[6, 5]), seed=0)
    assert source.parts["train"][0].shape == (14, 6, 5, 1)


def broken_folder(folder: Path) -> Path:
    for name in ("a", "b"):
        for number in range(6):
            write_image(folder / name / f"{number}.png", seed=number)
    whole = (folder / "a" / "0.png").read_bytes()
    (folder / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "a" / "empty.png").touch()
    (folder / "b" / "notes.txt").write_text("no image")
    damaged = bytearray(whole)
    damaged[40:60] = bytes(20)
    (folder / "b" / "damaged.png").write_bytes(bytes(damaged))
    return folder


def test_all_unreadable_files_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(data_params(source=f"images:{broken_folder(tmp_path)}"), seed=0)
    message = str(caught.value)
    assert "4 of 16 files" in message
    for name in ("cut.png", "empty.png", "notes.txt", "damaged.png"):
        assert name in message
    assert "on_unreadable: skip" in message


def test_unreadable_files_can_be_skipped_but_not_silently(tmp_path: Path) -> None:
    source = load(data_params(source=f"images:{broken_folder(tmp_path)}", on_unreadable="skip"), seed=0)
    assert source.skipped == ("a/cut.png", "a/empty.png", "b/damaged.png", "b/notes.txt")
    assert len(source.parts["train"][1]) == 12


def missing(folder: Path) -> Path:
    return folder / "missing"


def empty(folder: Path) -> Path:
    return folder


def one_class(folder: Path) -> Path:
    write_image(folder / "only" / "0.png")
    return folder


def an_empty_class(folder: Path) -> Path:
    (folder / "void").mkdir()
    return one_class(folder)


def several_sizes(folder: Path) -> Path:
    write_image(folder / "a" / "0.png", size=(4, 5))
    write_image(folder / "b" / "0.png", size=(5, 5))
    return folder


def loose_images(folder: Path) -> Path:
    write_image(folder / "stray.png")
    return several_sizes(folder)


def no_train(folder: Path) -> Path:
    write_image(folder / "test" / "a" / "0.png")
    return folder


def a_loose_image_next_to_splits(folder: Path) -> Path:
    write_image(folder / "stray.png")
    several_sizes(folder / "train")
    return folder


def a_class_that_is_a_dead_link(folder: Path) -> Path:
    (folder / "gone").symlink_to(folder / "nowhere")
    return several_sizes(folder)


def a_loop_of_links(folder: Path) -> Path:
    several_sizes(folder)
    (folder / "a" / "back").symlink_to(folder)
    return folder


def splits_under_other_names(folder: Path) -> Path:
    for split in ("train", "valid", "archive", "__MACOSX", ".cache"):
        several_sizes(folder / split)
    return folder


def splits_in_capitals(folder: Path) -> Path:
    for split in ("Train", "Test"):
        several_sizes(folder / split)
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "no such folder"),
        (empty, "got no subfolders"),
        (one_class, "got one class, 'only'"),
        (an_empty_class, "got none for void"),
        (several_sizes, r"the same size, got 5×4 \(1\), 5×5 \(1\); set data.image_size"),
        (loose_images, "next to the class folders, got stray.png"),
        (a_loose_image_next_to_splits, "next to the class folders, got stray.png"),
        (a_class_that_is_a_dead_link, "next to the class folders, got gone"),
        (a_loop_of_links, "back/a: a symbolic link makes the folder contain itself"),
        (splits_under_other_names, r"got archive, valid \(did you mean val\?\); rename or move them"),
        (splits_in_capitals, r"got Test \(did you mean test\?\), Train \(did you mean train\?\)"),
        (no_train, "must contain a train folder"),
    ],
)
def test_unusable_folders_are_reported(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(data_params(source=f"images:{make(tmp_path)}"), seed=0)


def test_an_npz_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    images = np.random.default_rng(0).random((12, 5, 4, 2))
    np.savez(path, x_train=images, y_train=np.arange(12) % 3)
    source = load(data_params(source=f"npz:{path}"), seed=0)
    assert source.parts["train"][0].dtype == np.float32
    assert source.parts["train"][0].shape == (12, 5, 4, 2)
    assert source.classes == ("0", "1", "2")


def test_system_files_are_neither_splits_nor_classes(tmp_path: Path) -> None:
    for split in ("train", "__MACOSX", ".cache"):
        for name in ("a", "b", "__MACOSX"):
            write_image(tmp_path / split / name / "0.png")
        (tmp_path / split / "a" / "Thumbs.db").write_text("no image")
    source = load(data_params(source=f"images:{tmp_path}"), seed=0)
    assert source.classes == ("a", "b")
    assert len(source.parts["train"][1]) == 2


@pytest.mark.parametrize("names", [("test", "train"), ("test", "train", "zebra")])
def test_classes_may_be_named_like_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_image(tmp_path / name / "0.png")
    assert load(data_params(source=f"images:{tmp_path}"), seed=0).classes == names


def test_broken_links_are_unreadable_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / name / "0.png")
    (tmp_path / "a" / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b" / "itself").symlink_to(tmp_path / "b" / "itself")
    with pytest.raises(UserError, match="2 of 4 files") as caught:
        load(data_params(source=f"images:{tmp_path}"), seed=0)
    assert str(caught.value).count("got a broken symbolic link") == 1
    assert str(caught.value).count("Too many levels of symbolic links") == 1
    source = load(data_params(source=f"images:{tmp_path}", on_unreadable="skip"), seed=0)
    assert source.skipped == ("a/dead.png", "b/itself")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_anywhere_in_an_npz_file_is_reported(tmp_path: Path, save) -> None:
    path = tmp_path / "mine.npz"
    save(path, x_train=noise_images(), y_train=np.arange(6) % 2)
    whole = path.read_bytes()
    params = data_params(source=f"npz:{path}")
    refused = []
    for place in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        for content in (whole[:place], bytes(flipped)):
            path.write_bytes(content)
            try:
                load(params, seed=0)  # some bytes of a zip archive have no meaning
            except UserError as error:
                refused.append(str(error))
    assert len(refused) > len(whole) // 5


def test_an_npy_file_is_not_accepted_as_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", noise_images())
    (tmp_path / "mine.npy").rename(tmp_path / "mine.npz")
    with pytest.raises(UserError, match=r"is not a valid \.npz file.*not a zip file"):
        load(data_params(source=f"npz:{tmp_path / 'mine.npz'}"), seed=0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((4, 3, 3))}, "both x_train and y_train"),
        ({"pictures": np.zeros((4, 3, 3))}, "must contain x_train and y_train, got pictures"),
        ({"x_train": np.zeros((4, 3, 3)), "y_train": np.zeros(4)}, "labels of train must be integers"),
        ({"x_train": np.full((4, 3, 3), "x"), "y_train": np.zeros(4, int)}, "must contain numbers"),
        ({"x_train": np.array([{}] * 4), "y_train": np.zeros(4, int)}, "pickled Python objects"),
        ({"x_train": np.zeros((4, 3, 3)), "y_train": np.arange(4), "classes": "a"}, r"a list of names, got shape \(\)"),
        (
            {"x_train": np.zeros((4, 3, 3)), "y_train": np.array([0, 1, 7, 9])},
            r"got 4 labels from 0 to 9 without 2, 3 \(first: 7 in row 2 of train, counted from 0\);",
        ),
        (
            {"x_train": np.zeros((4, 3, 3)), "y_train": np.array([0, 1, -1, 1])},
            r"must be consecutive from 0, got 3 labels .*\(first: -1 in row 2 of train",
        ),
        ({"x_train": np.zeros((4, 3, 3)), "y_train": np.array([0, 1, 2, 2**62])}, "from 0 to 4611686018427387904"),
    ],
)
def test_unusable_npz_files_are_reported(tmp_path: Path, arrays: dict, message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        load(data_params(source=f"npz:{path}"), seed=0)


def test_xo_is_white_on_black_and_determined_by_the_seed() -> None:
    params = data_params(source="xo", xo={"images": 40})
    images, labels = load(params, seed=3).parts["train"]
    again, _ = load(params, seed=3).parts["train"]
    other, _ = load(params, seed=4).parts["train"]
    assert images.shape == (40, 24, 24, 1)
    assert np.bincount(labels).tolist() == [20, 20]
    assert images.max() == 255
    assert np.median(images) == 0
    np.testing.assert_array_equal(images, again)
    assert (images != other).any()


def test_undistorted_xs_and_os_are_identical() -> None:
    undistorted = {"images": 20, "shift": 0.0, "shrink": 0.0, "rotate": 0.0, "deform": 0.0}
    images, labels = load(data_params(source="xo", xo=undistorted), seed=3).parts["train"]
    for label in (0, 1):
        assert len(np.unique(images[labels == label], axis=0)) == 1
    assert images[0, 12, 12, 0] == 255  # the strokes of an X cross in the middle
    assert images[1, 12, 12, 0] == 0  # an O is empty there


def test_fashion_mnist_is_the_same_as_idx_files_and_as_a_folder_of_png_files(tmp_path: Path) -> None:
    idx = load(data_params(source=f"idx:{FASHION}"), seed=0)
    places: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        images, labels = idx.parts[split]
        places[split] = np.concatenate([np.flatnonzero(labels == label)[:20] for label in range(10)])
        for place in places[split].tolist():
            (folder := tmp_path / split / str(labels[place])).mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[place : place + 1][0, ..., 0]).save(folder / f"{place:05}.png")
    png = load(data_params(source=f"images:{tmp_path}", color_mode="grayscale", image_size=None), seed=0)
    for split, chosen in places.items():
        assert np.array_equal(
            png.parts[split][0][:], idx.parts[split][0][np.sort(chosen)][np.argsort(np.argsort(chosen))]
        )
        assert np.array_equal(png.parts[split][1], idx.parts[split][1][chosen])
