"""Inspect the images for a few seconds and write a params.yaml that fits them."""

import argparse

from pipeline.arguments import add_params_option
from pipeline.console import run_main


def main(prog: str = "python -m pipeline.init") -> None:
    """Inspect the data and write params.yaml."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--data",
        required=True,
        help="folder with one subfolder of images per class, optionally below train and test folders; archive of such "
        "a folder (.zip, .tar, .tar.gz); .npz file; folder of IDX files; digits; xo; keras:NAME",
    )
    parser.add_argument("--name", help="name of the registered model (default: the name of the data)")
    add_params_option(parser)
    given = parser.parse_args()
    from pipeline.init.run import run

    run(given.data, given.params, given.name)


if __name__ == "__main__":
    run_main(main)
