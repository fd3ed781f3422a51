"""Command-line arguments of the stages: params.yaml, and one option for each path of the stage."""

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pipeline.sections import Params

Paths = TypeVar("Paths", bound=Any)  # a dataclass whose fields are paths

_FIXED = "root"  # the repository root is always the working directory


def add_params_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--params`, the path of params.yaml."""
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")


def stage_parser(
    prog: str, description: str | None, defaults: Any, only: Collection[str] | None = None
) -> argparse.ArgumentParser:
    """Create a parser with `--params` and one option for each path except the repository root.

    Args:
        prog: Name of the command.
        description: Description for the help text.
        defaults: Dataclass with the default paths.
        only: Names of the paths that become options; None: all.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add_params_option(parser)
    for name, default in vars(defaults).items():
        if name != _FIXED and (only is None or name in only):
            parser.add_argument(f"--{name}", type=Path, default=default, help=f"default: {default}")
    return parser


def params_and_paths(given: argparse.Namespace, defaults: Paths) -> "tuple[Params, Paths]":
    """Load the parameters and collect the paths given on the command line.

    Args:
        given: Arguments parsed by a `stage_parser`.
        defaults: Dataclass with the paths; values without an option are kept.

    Raises:
        ParamsError: params.yaml violates a rule; all violations are listed.
    """
    from pipeline.sections.load import load_params

    paths = {name: getattr(given, name) for name in vars(defaults) if name != _FIXED and hasattr(given, name)}
    return load_params(given.params), replace(defaults, **paths)


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a server that other machines may use."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1); others require FOVEA_SERVER_PASSWORD and --allowed-hosts",
    )
    parser.add_argument(
        "--allowed-hosts",
        default="",
        help="names and addresses under which other machines address this one, separated by commas",
    )


def host_options(given: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the address to listen on and the allowed hosts."""
    return given.host, [name.strip() for name in given.allowed_hosts.split(",") if name.strip()]
