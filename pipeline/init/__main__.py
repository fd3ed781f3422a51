"""Inspect the data for a few seconds and write a params.yaml that fits them."""

import argparse
import math

from pipeline.terminal.arguments import add_params_option
from pipeline.terminal.console import run_main

MIN_MINUTES, MAX_MINUTES = 1.0, 10_000.0


def main(prog: str = "python -m pipeline.init") -> None:
    """Inspect the data and write params.yaml."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--data",
        required=True,
        help="folder with one subfolder per class of images, CSV series, recordings or volumes, optionally below train "
        "and test folders; archive of such a folder (.zip, .tar, .tar.gz); manifest; .npz, HDF5 or .ts file; folder of "
        "IDX or .npy files; or a value of data.source, such as digits, keras:NAME or volumes:FOLDER",
    )
    parser.add_argument("--name", help="name of the registered model (default: the name of the data)")
    parser.add_argument(
        "--minutes",
        type=_minutes,
        help="approximate time for `fovea run` on this machine, whose training speed is measured first (default: about "
        "15 on two cores with AVX2, regardless of this machine)",
    )
    add_params_option(parser)
    given = parser.parse_args()
    from pipeline.init.run import run

    run(given.data, given.params, given.name, given.minutes)


def _minutes(text: str) -> float:
    """Parse the option --minutes."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not MIN_MINUTES <= minutes <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(
            f"must be a number of minutes from {MIN_MINUTES:g} to {MAX_MINUTES:,.0f}, got {text!r}"
        )
    return minutes


if __name__ == "__main__":
    run_main(main)
