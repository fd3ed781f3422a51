"""Subcommands that use MLflow: publish runs, serve the UI, serve the champion, roll back the champion."""

import argparse
from pathlib import Path

from pipeline.terminal.arguments import add_host_options, add_params_option, host_options
from pipeline.terminal.console import say


def sync(prog: str) -> None:
    """Publish all runs that are not in MLflow yet."""
    argparse.ArgumentParser(prog=prog, description="Publish all runs that are not in MLflow yet.").parse_args()
    from pipeline.tracking.sync import sync as publish

    published = publish(Path("."))
    say(f"published {published} run{'' if published == 1 else 's'}" if published else "nothing to publish")


def ui(prog: str) -> int:
    """Serve the MLflow UI."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Serve the MLflow UI on 127.0.0.1, and open the view for reviewers."
    )
    parser.add_argument("--port", type=int, default=5000, help="port to serve on (default: 5000)")
    parser.add_argument("--no-open", action="store_true", help="print the address without opening a browser")
    arguments = parser.parse_args()
    from pipeline.mlflow_server.ui import serve_ui

    return serve_ui(Path("."), arguments.port, not arguments.no_open)


def serve(prog: str) -> int:
    """Serve predictions of the champion over HTTP."""
    parser = argparse.ArgumentParser(prog=prog, description="Serve predictions of the champion over HTTP.")
    parser.add_argument("--port", type=int, default=5001, help="port to serve on (default: 5001)")
    add_host_options(parser)
    add_params_option(parser)
    arguments = parser.parse_args()
    from pipeline.registry.serve import serve as serve_champion
    from pipeline.sections.load import load_params

    return serve_champion(
        load_params(arguments.params).register_.name, Path("."), arguments.port, *host_options(arguments)
    )


def rollback(prog: str) -> None:
    """Return to the previous champion."""
    parser = argparse.ArgumentParser(prog=prog, description="Reassign the alias `champion` to the previous champion.")
    add_params_option(parser)
    arguments = parser.parse_args()
    from pipeline.registry.champion_history import roll_back
    from pipeline.registry.versions import open_registry
    from pipeline.sections.load import load_params

    with open_registry(load_params(arguments.params).register_.name, Path(".")) as registry:
        roll_back(registry)
