"""The command `fovea`: a table of subcommands, whose modules are imported when the subcommand runs.

This module imports nothing slow. It refers to `search` by name only, since `pipeline` must not depend on it.
"""

import difflib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.terminal.console import run_main

PROJECT_FILE = "dvc.yaml"
USAGE = "usage: fovea COMMAND [ARGUMENT ...]"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: Name on the command line.
        module: Module that contains the function.
        summary: One line for the help text.
        function: Name of the function. It accepts `prog`, the name of the command in its help text, and parses
            `sys.argv`.
        anywhere: Whether the command works outside a project folder.
    """

    name: str
    module: str
    summary: str
    function: str = "main"
    anywhere: bool = False

    def run(self, arguments: list[str]) -> int | None:
        """Run the command and return its exit status.

        Args:
            arguments: The command-line arguments after the name of the command.

        Raises:
            UserError: The command requires a project folder and the working directory is not one, or the command
                fails.
        """
        prog = f"fovea {self.name}"
        if not self.anywhere and not {"-h", "--help"} & set(arguments):
            _require_project(prog)
        sys.argv = [prog, *arguments]
        status: int | None = getattr(importlib.import_module(self.module), self.function)(prog=prog)
        return status


COMMANDS = {
    "Run the pipeline": (
        Command("init", "pipeline.init.__main__", "write a params.yaml that fits your data"),
        Command("run", "pipeline.commands.run", "run all outdated stages with dvc repro"),
        Command("search", "search.commands", "run only the architecture search", function="search"),
        Command("train", "pipeline.train", "train the study's winner and the baseline; keep the better one"),
        Command("evaluate", "pipeline.evaluate", "evaluate the trained network on the test split"),
        Command("register", "pipeline.register", "register the network; promote it if it passes the gate"),
    ),
    "Inspect": (
        Command("params", "pipeline.commands.params", "check params.yaml, or print its schema", anywhere=True),
        Command("plan", "search.commands", "show the size and the cost of the study before it runs", function="plan"),
        Command("status", "search.commands", "show the progress of the study", function="status"),
        Command("describe", "pipeline.commands.describe", "show layers, shapes and cost of a network", anywhere=True),
        Command("ui", "pipeline.commands.mlflow", "open the MLflow UI: runs, curves, model registry", function="ui"),
        Command("dashboard", "search.commands", "open optuna-dashboard on the studies", function="dashboard"),
        Command("sync", "pipeline.commands.mlflow", "publish runs that are not in MLflow yet", function="sync"),
    ),
    "Use the champion": (
        Command("predict", "pipeline.predict", "classify images", anywhere=True),
        Command("serve", "pipeline.commands.mlflow", "serve predictions over HTTP on this machine", function="serve"),
        Command("rollback", "pipeline.commands.mlflow", "return to the previous champion", function="rollback"),
    ),
}


def help_text() -> str:
    """Return the help text: all commands on one screen."""
    lines = [USAGE, "", "Search, train, evaluate and serve an image classification network.", ""]
    for title, commands in COMMANDS.items():
        lines.append(f"{title}:")
        lines += [f"  {command.name:<9}  {command.summary}" for command in commands]
    return "\n".join([*lines, "Use 'fovea COMMAND --help' for details."])


def find_command(name: str) -> Command:
    """Look up a command by name.

    Raises:
        UserError: There is no such command.
    """
    known = {command.name: command for commands in COMMANDS.values() for command in commands}
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean 'fovea {nearest[0]}'?" if nearest else "run 'fovea --help' for a list of commands"
    raise UserError(f"fovea: unknown command {name!r}; {remedy}")


def _require_project(prog: str) -> None:
    """Reject a working directory that is not a project folder.

    Raises:
        UserError: The working directory has no dvc.yaml.
    """
    here = Path.cwd()
    if (here / PROJECT_FILE).is_file():
        return
    above = next((folder for folder in here.parents if (folder / PROJECT_FILE).is_file()), None)
    remedy = f"cd {above}" if above else "cd into your clone of the project, or clone it first"
    raise UserError(f"{prog}: must be run in a project folder, but {here} has no {PROJECT_FILE}; {remedy}")


def _run_code_of_project() -> None:
    """Switch to the code of the project in the working directory if `fovea` was installed from another project.

    The stages in dvc.yaml run the code of the working directory as well.
    """
    local = Path.cwd() / "pipeline/cli.py"
    if (Path.cwd() / PROJECT_FILE).is_file() and local.is_file() and not local.samefile(__file__):
        os.execv(sys.executable, [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]])  # noqa: S606  # no shell


def main() -> int | None:
    """Run the command given on the command line."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if sys.argv[1] == "--version":
        from importlib.metadata import version

        print(f"fovea {version('fovea')}")
        return 0
    return find_command(sys.argv[1]).run(sys.argv[2:])


def _main_of_project() -> int | None:
    _run_code_of_project()
    return main()


def installed() -> None:
    """Entry point of the installed command."""
    run_main(_main_of_project)


if __name__ == "__main__":
    run_main(main)
