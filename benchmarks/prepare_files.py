"""Images per second of `prepare` on image files, against Keras's `image_dataset_from_directory`.

png: the 60,000 training images of Fashion-MNIST as PNG files of 28×28, grey.
jpeg: 5,000 JPEG files of 500×375 in random colours of several sizes of detail, resized to 96×128.

Keras lists the files and iterates over the dataset once. `prepare` reads, decodes and checks the files, and writes the
splits and its reports; its folder of decoded files is empty, except in the rows `again`, where 1% of the files are new.
Each measurement is a process of its own, whose imports are not counted. The processes alternate.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer_data import ROOT
from results import publish
from table import machine, run_script, spread

from pipeline.sources.idx import read_idx_folder
from pipeline.terminal.console import run_main

FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
SETS = {"png": ("grayscale", (28, 28)), "jpeg": ("rgb", (96, 128))}  # colour mode, size
NAMES = ("Keras", "Fovea", "Fovea, again")


def write_png(folder: Path) -> None:
    """Write the training images of Fashion-MNIST, one folder per class."""
    from PIL import Image

    images, labels = read_idx_folder(FASHION).parts["train"]
    for number, (image, label) in enumerate(zip(images[:], labels, strict=True)):
        (of_class := folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(of_class / f"{number:05}.png")


def write_jpeg(folder: Path) -> None:
    """Write random colours of three sizes of detail, in two folders."""
    from PIL import Image

    draw = np.random.default_rng(1)
    for number in range(5000):
        (of_class := folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        image = np.zeros((375, 500, 3), np.float32)
        for share, grid in ((0.6, (6, 8)), (0.3, (24, 32)), (0.1, (94, 125))):
            detail = Image.fromarray(draw.integers(0, 256, (*grid, 3), np.uint8))
            image += share * np.asarray(detail.resize((500, 375), Image.Resampling.BICUBIC), np.float32)
        Image.fromarray(image.astype(np.uint8)).save(of_class / f"{number:04}.jpg", quality=90)


def measure(name: str, kind: str, folder: Path) -> float:
    """Return the seconds of one run of a competitor in this process."""
    color_mode, size = SETS[kind]
    if name == "Keras":
        import keras

        began = time.perf_counter()
        dataset = keras.utils.image_dataset_from_directory(
            folder / "files", color_mode=color_mode, image_size=size, shuffle=False, verbose=False
        )
        for _ in dataset:
            pass
        return time.perf_counter() - began
    import sklearn.model_selection  # noqa: F401  # libraries that prepare imports when it needs them

    from pipeline import prepare
    from pipeline.sections.load import load_params

    params = load_params(ROOT / "params.yaml")
    changes = {"source": f"images:{folder / 'files'}", "color_mode": color_mode, "image_size": size}
    paths = prepare.Paths(folder / "out" / "prepared", folder / "out" / "reports")
    if name == "Fovea":
        shutil.rmtree(folder / "out", ignore_errors=True)
    began = time.perf_counter()
    prepare.run(params.model_copy(update={"data": params.data.model_copy(update=changes)}), paths)
    return time.perf_counter() - began


def change_files(folder: Path) -> None:
    """Change every hundredth file, so that its content is new but its image is not."""
    for path in sorted((folder / "files").rglob("*.*"))[::100]:
        path.write_bytes(path.read_bytes() + b"\0")


def main() -> None:
    """Print and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=tuple(SETS))
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        name, kind, folder = arguments.run
        print("\n" + json.dumps(measure(name, kind, Path(folder))))
        return
    print(machine())
    rows: list[Any] = []
    for kind in arguments.sets:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (write_png if kind == "png" else write_jpeg)(folder / "files")
            files = sum(1 for path in (folder / "files").rglob("*.*") if path.is_file())
            found: dict[str, list[float]] = {name: [] for name in NAMES}
            for _ in range(arguments.repeats):
                for name in NAMES:
                    if name == "Fovea, again":
                        change_files(folder)
                    found[name].append(files / run_script(__file__, "--run", name, kind, temporary))
                    print(kind, name, f"{found[name][-1]:.0f}", flush=True)
            for name in NAMES:
                ratios = [mine / keras for mine, keras in zip(found[name], found["Keras"], strict=True)]
                rows.append([f"{kind}, {name}", spread(found[name], 0), spread(ratios)])
    publish("prepare_files", ["", "images per second", "ratio to Keras"], rows)


if __name__ == "__main__":
    run_main(main)
