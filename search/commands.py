"""The `fovea` commands for studies. Slow modules are imported after the command line is parsed."""

import argparse

from pipeline.terminal.arguments import (
    add_host_options,
    add_params_option,
    host_options,
    params_and_paths,
    stage_parser,
)
from search.paths import Paths


def search(prog: str) -> None:
    """Run the stage search."""
    parser = stage_parser(prog, "Search for the best architecture. An interrupted study is resumed.", Paths())
    parser.add_argument("--retry-failed", action="store_true", help="retry the failed trials of an earlier run")
    given = parser.parse_args()
    params, paths = params_and_paths(given, Paths())
    from search.stage import run

    run(params, paths, given.retry_failed)


def plan(prog: str) -> None:
    """Estimate the size and the cost of the study before training."""
    description = "Estimate the size of the search space and the cost of the study before it runs."
    parser = stage_parser(prog, description, Paths(), only=("prepared",))
    parser.add_argument("--no-timing", action="store_true", help="do not measure the training speed of this machine")
    given = parser.parse_args()
    params, paths = params_and_paths(given, Paths())
    from search.estimate.plan import require_prepared, run

    require_prepared(given.params)
    run(params, paths, timing=not given.no_timing)


def status(prog: str) -> None:
    """Show the progress of the study."""
    description = "Show the progress of the study, while it runs or afterwards."
    parser = stage_parser(prog, description, Paths(), only=("prepared", "studies", "reports"))
    parser.add_argument(
        "--watch", action="store_true", help="update the output until the study ends or Ctrl-C is pressed"
    )
    given = parser.parse_args()
    params, paths = params_and_paths(given, Paths())
    from search.status import run

    run(params, paths, given.watch)


def dashboard(prog: str) -> None:
    """Serve optuna-dashboard on the storage of the studies."""
    parser = argparse.ArgumentParser(prog=prog, description="Serve optuna-dashboard on the storage of the studies.")
    add_params_option(parser)
    parser.add_argument("--port", type=int, default=8080, help="port to serve on (default: 8080)")
    add_host_options(parser)
    given = parser.parse_args()
    from pipeline.sections.load import load_params
    from search.dashboard import serve
    from search.storage.database import storage_address

    serve(storage_address(load_params(given.params).search), given.port, *host_options(given))
