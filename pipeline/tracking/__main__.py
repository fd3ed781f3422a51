"""`python -m pipeline.tracking sync` publishes what MLflow lacks; `… ui` serves its UI."""

import argparse
from pathlib import Path

from pipeline.terminal import run_main, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.tracking", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sync", help="publish every run that MLflow does not hold yet")
    ui = commands.add_parser("ui", help="serve the MLflow UI on 127.0.0.1, opened at the reviewer's view")
    ui.add_argument("--port", type=int, default=5000, help="port to serve on (default: 5000)")
    ui.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    arguments = parser.parse_args()
    if arguments.command == "ui":
        from pipeline.tracking.ui import serve_ui

        return serve_ui(Path("."), arguments.port, not arguments.no_open)
    from pipeline.tracking.sync import sync

    published = sync(Path("."))
    say(f"published {published} run{'' if published == 1 else 's'}" if published else "nothing to publish")
    return 0


if __name__ == "__main__":
    run_main(main)
