"""Search for the best architecture: `fovea search`; or look ahead at what it will cost, or at how it stands."""

import argparse
from pathlib import Path

from pipeline.console import run_main

_DESCRIPTIONS = {
    "search": "Search for the best architecture; an interrupted study goes on.",
    "plan": "Estimate what the study will choose from and cost, before anything is trained.",
    "status": "How the study stands, while it runs or later.",
    "dashboard": "Open optuna-dashboard on the storage of the studies.",
}


def main(prog: str = "python -m search", task: str | None = None) -> None:
    """Search, or what the command line asks for instead; with `task`, a key of _DESCRIPTIONS, that alone."""
    parser = argparse.ArgumentParser(prog=prog, description=_DESCRIPTIONS[task] if task else __doc__)
    parser.set_defaults(**{name: name == task for name in ("plan", "status", "dashboard")})
    parser.set_defaults(watch=False, no_timing=False, retry_failed=False, port=None)
    _add_options(parser, task)
    arguments = parser.parse_args()
    _check_options(parser, arguments)
    from pipeline.params_file import load_params

    params = load_params(arguments.params)
    if arguments.dashboard:
        from search.dashboard import serve
        from search.storage.database import storage_address

        serve(storage_address(params.search), 8080 if arguments.port is None else arguments.port)
        return
    settings = (params.model, params.training, params.search, params.seed, arguments.prepared)
    if arguments.plan:
        from search.estimate import plan

        plan.require_prepared(arguments.params)
        plan.run(*settings, timing=not arguments.no_timing)
    elif arguments.status or arguments.watch:
        from search import status

        status.run(*settings, arguments.studies, arguments.reports, watch=arguments.watch)
    else:
        from search.stage import run

        run(*settings, arguments.studies, arguments.architecture, arguments.reports, arguments.retry_failed)


def _add_options(parser: argparse.ArgumentParser, task: str | None) -> None:
    """The options of a task; without one, those of all."""
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    if task != "dashboard":
        parser.add_argument(
            "--prepared", type=Path, default=Path("data/prepared"), help="what prepare wrote (default: %(default)s)"
        )
    if task in (None, "search", "status"):
        parser.add_argument(
            "--studies",
            type=Path,
            default=Path("studies"),
            help="where rungs leave their states (default: %(default)s)",
        )
        parser.add_argument(
            "--reports", type=Path, default=Path("reports/search"), help="table, plots, records (default: %(default)s)"
        )
    if task in (None, "search"):
        parser.add_argument(
            "--architecture",
            type=Path,
            default=Path("models/architecture.yaml"),
            help="the winner (default: %(default)s)",
        )
        parser.add_argument("--retry-failed", action="store_true", help="search, and try failed trials again")
    if task is None:
        instead = parser.add_argument_group("instead of searching").add_mutually_exclusive_group()
        instead.add_argument("--plan", action="store_true", help="estimate what the study will choose from and cost")
        instead.add_argument("--status", action="store_true", help="how the study stands, while it runs or later")
        instead.add_argument("--dashboard", action="store_true", help="open optuna-dashboard on the storage")
    where = {name: "" if task else f"with --{name}: " for name in ("plan", "dashboard")}
    if task in (None, "status"):
        parser.add_argument("--watch", action="store_true", help="the status, kept on the screen until Ctrl-C")
    if task in (None, "plan"):
        parser.add_argument("--no-timing", action="store_true", help=f"{where['plan']}do not measure this machine")
    if task in (None, "dashboard"):
        parser.add_argument("--port", type=int, help=f"{where['dashboard']}where it listens (default: 8080)")


def _check_options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Refuse options that do not belong together."""
    if given.watch and (given.plan or given.dashboard):
        parser.error(f"argument --watch: not allowed with argument --{'plan' if given.plan else 'dashboard'}")
    if given.no_timing and not given.plan:
        parser.error("argument --no-timing: only allowed with argument --plan")
    if given.retry_failed and (given.plan or given.status or given.watch or given.dashboard):
        parser.error("argument --retry-failed: only allowed when searching")
    if given.port is not None and not given.dashboard:
        parser.error("argument --port: only allowed with argument --dashboard")


if __name__ == "__main__":
    run_main(main)
