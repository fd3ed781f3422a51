"""The command line of a stage: params.yaml, and an option for each of its paths."""

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pipeline.params import Params

Paths = TypeVar("Paths", bound=Any)  # a dataclass of paths

_FIXED = "root"  # the repository's root is the working folder


def add_params_option(parser: argparse.ArgumentParser) -> None:
    """Add `--params`, the path of params.yaml."""
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")


def stage_parser(
    prog: str, description: str | None, defaults: Any, only: Collection[str] | None = None
) -> argparse.ArgumentParser:
    """A parser with `--params`, and with an option for each path but the repository's root.

    Args:
        prog: name of the command.
        description: for its help.
        defaults: a dataclass of paths.
        only: names of the paths that become options; None: all.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add_params_option(parser)
    for name, default in vars(defaults).items():
        if name != _FIXED and (only is None or name in only):
            parser.add_argument(f"--{name}", type=Path, default=default, help=f"default: {default}")
    return parser


def params_and_paths(given: argparse.Namespace, defaults: Paths) -> "tuple[Params, Paths]":
    """The parameters and the paths that the command line names.

    Args:
        given: what a `stage_parser` parsed.
        defaults: of the paths that have no option.

    Raises:
        ParamsError: params.yaml breaks a rule; all broken rules are listed.
    """
    from pipeline.params_file import load_params

    paths = {name: getattr(given, name) for name in vars(defaults) if name != _FIXED and hasattr(given, name)}
    return load_params(given.params), replace(defaults, **paths)
