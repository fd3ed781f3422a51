"""The command `fovea`: a table of subcommands, each a function of a module that is imported only then.

Nothing slow is imported here, and `search` is imported by name only, since `pipeline` must not depend on it.
"""

import difflib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.console import run_main
from pipeline.errors import UserError

PROJECT_FILE = "dvc.yaml"
USAGE = "usage: fovea COMMAND [ARGUMENT ...]"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: what the user types.
        module: has the function.
        summary: one line for the help.
        function: takes `prog`, the command's name in its help, and reads `sys.argv`.
        anywhere: whether it works outside a project's folder.
    """

    name: str
    module: str
    summary: str
    function: str = "main"
    anywhere: bool = False

    def run(self, arguments: list[str]) -> int | None:
        """Run it with what stands behind its name on the command line; its exit status.

        Raises:
            UserError: it needs a project's folder and this is none, or the command itself fails.
        """
        prog = f"fovea {self.name}"
        if not self.anywhere and not {"-h", "--help"} & set(arguments):
            _require_project(prog)
        sys.argv = [prog, *arguments]
        status: int | None = getattr(importlib.import_module(self.module), self.function)(prog=prog)
        return status


COMMANDS = {
    "Do the work": (
        Command("init", "pipeline.init.__main__", "write a params.yaml that fits your images"),
        Command("run", "pipeline.commands.run", "all stages that are out of date: dvc repro"),
        Command("search", "search.commands", "the study of architectures alone", function="search"),
        Command("train", "pipeline.train", "train one network"),
        Command("evaluate", "pipeline.evaluate", "measure the trained network on the test split"),
        Command("register", "pipeline.register", "make it a version in the registry, champion if the gate allows it"),
    ),
    "Look ahead and back": (
        Command("params", "pipeline.commands.params", "check params.yaml, or print its schema", anywhere=True),
        Command("plan", "search.commands", "what the study will choose from and cost", function="plan"),
        Command("status", "search.commands", "how the study stands", function="status"),
        Command("describe", "pipeline.commands.describe", "the layers, shapes and cost of a network", anywhere=True),
        Command("ui", "pipeline.commands.mlflow", "the MLflow UI: runs, curves, the registry", function="ui"),
        Command("dashboard", "search.commands", "optuna-dashboard on the studies", function="dashboard"),
        Command("sync", "pipeline.commands.mlflow", "publish runs that MLflow does not hold yet", function="sync"),
    ),
    "Use the champion": (
        Command("predict", "pipeline.predict", "classify images", anywhere=True),
        Command("serve", "pipeline.commands.mlflow", "answer over HTTP on this machine", function="serve"),
        Command("rollback", "pipeline.commands.mlflow", "return to the champion before this one", function="rollback"),
    ),
}


def help_text() -> str:
    """All commands on one screen."""
    lines = [USAGE, "", "Finds, trains, evaluates and serves a network that classifies your images.", ""]
    for title, commands in COMMANDS.items():
        lines.append(f"{title}:")
        lines += [f"  {command.name:<9}  {command.summary}" for command in commands]
    return "\n".join([*lines, "'fovea COMMAND --help' has the details."])


def find_command(name: str) -> Command:
    """The command of that name.

    Raises:
        UserError: there is none.
    """
    known = {command.name: command for commands in COMMANDS.values() for command in commands}
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean 'fovea {nearest[0]}'?" if nearest else "'fovea --help' lists the commands"
    raise UserError(f"fovea: must be given one of its commands, got {name!r}; {remedy}")


def _require_project(prog: str) -> None:
    """Refuse a folder that is no project.

    Raises:
        UserError: there is no dvc.yaml here.
    """
    here = Path.cwd()
    if (here / PROJECT_FILE).is_file():
        return
    above = next((folder for folder in here.parents if (folder / PROJECT_FILE).is_file()), None)
    remedy = f"cd {above}" if above else "cd into your clone of the project, or clone it first"
    raise UserError(f"{prog}: must be run in a project's folder, but {here} has no {PROJECT_FILE}; {remedy}")


def _run_code_of_project() -> None:
    """Go on with the code of the project in this folder, where `fovea` was installed from another one.

    The stages of dvc.yaml run that code, too.
    """
    local = Path.cwd() / "pipeline/cli.py"
    if (Path.cwd() / PROJECT_FILE).is_file() and local.is_file() and not local.samefile(__file__):
        os.execv(sys.executable, [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]])


def main() -> int | None:
    """Run the command that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if sys.argv[1] == "--version":
        from importlib.metadata import version

        print(f"fovea {version('fovea')}")
        return 0
    return find_command(sys.argv[1]).run(sys.argv[2:])


def installed() -> None:
    """The entry point of the installed command."""
    _run_code_of_project()
    run_main(main)


if __name__ == "__main__":
    run_main(main)
