"""Search for the best architecture: `python -m search`; or look ahead at what it will cost, or at how it stands."""

import argparse
from pathlib import Path

from pipeline.params import load_params
from pipeline.terminal import run_main


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m search", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"), help="what prepare wrote")
    parser.add_argument("--studies", type=Path, default=Path("studies"), help="where rungs leave their states")
    parser.add_argument("--architecture", type=Path, default=Path("models/architecture.yaml"), help="the winner")
    parser.add_argument("--reports", type=Path, default=Path("reports/search"), help="table, plots, records")
    instead = parser.add_argument_group("instead of searching").add_mutually_exclusive_group()
    instead.add_argument("--plan", action="store_true", help="estimate what the study will choose from and cost")
    instead.add_argument("--status", action="store_true", help="how the study stands, while it runs or later")
    instead.add_argument("--dashboard", action="store_true", help="open optuna-dashboard on the storage")
    parser.add_argument("--retry-failed", action="store_true", help="search, and try failed trials again")
    parser.add_argument("--watch", action="store_true", help="the status, kept on the screen until Ctrl-C")
    parser.add_argument("--no-timing", action="store_true", help="with --plan: do not measure this machine")
    parser.add_argument("--port", type=int, help="with --dashboard: where it listens (default: 8080)")
    arguments = parser.parse_args()
    if arguments.watch and (arguments.plan or arguments.dashboard):
        parser.error(f"argument --watch: not allowed with argument --{'plan' if arguments.plan else 'dashboard'}")
    if arguments.no_timing and not arguments.plan:
        parser.error("argument --no-timing: only allowed with argument --plan")
    if arguments.retry_failed and (arguments.plan or arguments.status or arguments.watch or arguments.dashboard):
        parser.error("argument --retry-failed: only allowed when searching")
    if arguments.port is not None and not arguments.dashboard:
        parser.error("argument --port: only allowed with argument --dashboard")
    params = load_params(arguments.params)
    if arguments.dashboard:
        from search.dashboard import serve
        from search.storage import storage_address

        serve(storage_address(params.search), 8080 if arguments.port is None else arguments.port)
        return
    settings = (params.model, params.training, params.search, params.seed, arguments.prepared)
    if arguments.plan:
        from search import plan

        plan.run(*settings, timing=not arguments.no_timing)
    elif arguments.status or arguments.watch:
        from search import status

        status.run(*settings, arguments.studies, arguments.reports, watch=arguments.watch)
    else:
        from search.stage import run

        run(*settings, arguments.studies, arguments.architecture, arguments.reports, arguments.retry_failed)


if __name__ == "__main__":
    run_main(main)
