"""Search for the best architecture: `python -m search`, or look at the studies: `python -m search --dashboard`."""

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
    parser.add_argument("--dashboard", action="store_true", help="open optuna-dashboard on the storage instead")
    parser.add_argument("--port", type=int, default=8080, help="port of optuna-dashboard (default: 8080)")
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    if arguments.dashboard:
        from search.dashboard import serve

        serve(params.search.storage, arguments.port)
        return

    from search.stage import run

    run(
        params.model,
        params.training,
        params.search,
        params.seed,
        arguments.prepared,
        arguments.studies,
        arguments.architecture,
        arguments.reports,
    )


if __name__ == "__main__":
    run_main(main)
