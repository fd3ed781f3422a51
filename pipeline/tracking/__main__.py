"""MLflow: publish the runs that it lacks, serve its UI, serve the champion."""

import argparse
import sys
from pathlib import Path

from pipeline.terminal import run_main, say

_HELP = {
    "sync": "Publish every run that MLflow does not hold yet.",
    "ui": "Serve the MLflow UI on 127.0.0.1, opened at the reviewer's view.",
    "serve": "Answer over HTTP on 127.0.0.1 with the champion of params.yaml.",
}


def main(prog: str = "python -m pipeline.tracking", task: str | None = None) -> int:
    """Do the task that the command line names, or `task`, which is then the last word of `prog`."""
    parser = argparse.ArgumentParser(prog=prog.removesuffix(f" {task}"), description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sync", help=_HELP["sync"], description=_HELP["sync"])
    ui = commands.add_parser("ui", help=_HELP["ui"], description=_HELP["ui"])
    ui.add_argument("--port", type=int, default=5000, help="port to serve on (default: 5000)")
    ui.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    serving = commands.add_parser("serve", help=_HELP["serve"], description=_HELP["serve"])
    serving.add_argument("--port", type=int, default=5001, help="port to serve on (default: 5001)")
    serving.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    arguments = parser.parse_args(sys.argv[1:] if task is None else [task, *sys.argv[1:]])
    if arguments.command == "serve":
        from pipeline.params import load_params
        from pipeline.tracking.serve import serve

        return serve(load_params(arguments.params).register_.name, Path("."), arguments.port)
    if arguments.command == "ui":
        from pipeline.tracking.ui import serve_ui

        return serve_ui(Path("."), arguments.port, not arguments.no_open)
    from pipeline.tracking.sync import sync

    published = sync(Path("."))
    say(f"published {published} run{'' if published == 1 else 's'}" if published else "nothing to publish")
    return 0


if __name__ == "__main__":
    run_main(main)
