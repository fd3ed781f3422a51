"""Start-up time of commands that compute nothing, such as help, checking params.yaml and an up-to-date `dvc repro`.

Run this script in a repository in which all stages are up to date.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from table import FOVEA, machine, spread

RUNS = 7
WRONG = ["-c", "import pipeline.sections.load as load; load.validate(load.Params, {'seed': 'one'}, 'params.yaml')"]
HELP = ("train", "evaluate", "register", "predict", "plan", "ui", "init", "params")
LIBRARIES = {"pydantic": "from pydantic import BaseModel", "YAML": "import ruamel.yaml", "Optuna": "import optuna"}
COMMANDS = {
    "fovea": [FOVEA],
    **{f"fovea {name} --help": [FOVEA, name, "--help"] for name in HELP},
    "fovea params": [FOVEA, "params"],
    "fovea describe FILE": [FOVEA, "describe", "examples/architectures/lenet5.yaml"],
    "fovea status": [FOVEA, "status"],
    "a validation error": [sys.executable, *WRONG],
    "dvc repro, nothing to do": [str(Path(sys.executable).with_name("dvc")), "repro"],
    "python -c pass": [sys.executable, "-c", "pass"],
    **{f"python, {name} alone": [sys.executable, "-c", code] for name, code in LIBRARIES.items()},
}


def seconds(command: list[str]) -> float:
    """Return the wall time of a command in seconds."""
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    return time.perf_counter() - began


def imports_tensorflow(command: list[str]) -> bool:
    """Return whether the command, or a process that it starts, imports TensorFlow."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return any(line.rsplit("|", 1)[-1].strip() == "tensorflow" for line in done.stderr.splitlines())


def main() -> None:
    """Print the table."""
    print(machine())
    print(f"{'command':28} {'seconds, median (spread, n)':36} imports TensorFlow")
    for name, command in COMMANDS.items():
        seconds(command)
        taken = [seconds(command) for _ in range(RUNS)]
        print(f"{name:28} {spread(taken):36} {'yes' if imports_tensorflow(command) else 'no'}")


if __name__ == "__main__":
    main()
