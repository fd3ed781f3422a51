"""The paths of a stage as options of its command."""

import argparse
from pathlib import Path
from typing import Any

_FIXED = "root"  # the repository's root is the working folder


def add_paths(parser: argparse.ArgumentParser, defaults: Any) -> None:
    """Make an option of each path but the repository's root.

    Args:
        parser: takes them.
        defaults: a dataclass of paths.
    """
    for name, default in vars(defaults).items():
        if name != _FIXED:
            parser.add_argument(f"--{name}", type=Path, default=default, help=f"default: {default}")


def given_paths(defaults: Any, given: argparse.Namespace) -> dict[str, Path]:
    """The paths that `add_paths` made options of, by name, as they were given."""
    return {name: getattr(given, name) for name in vars(defaults) if name != _FIXED}
