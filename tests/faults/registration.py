"""The stage register in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.pipeline.registration import PARAMS

REGISTER = """
import sys
from pathlib import Path
from pipeline import register
from pipeline.registry.versions import Registry
from pipeline.sections import RegisterParams
from pipeline.sections.load import load_params
from pipeline.terminal.console import show_messages

{patch}
section = RegisterParams(
    name="tiny", gate=("accuracy >= 0.5",), promote_if="better", alpha=0.05, margin=0.01, exports=()
)
show_messages()
params = load_params(Path(sys.argv[1]))
training = params.training.model_copy(update={{"threads": 1}})
register.run(params.model_copy(update={{"register_": section, "training": training, "seed": 1}}), register.Paths())
"""


def start(root: Path, patch: str = "", **more: str) -> "subprocess.Popen[str]":
    """Run the stage register in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent), "PYTHONWARNINGS": "ignore"} | more
    command = [sys.executable, "-c", REGISTER.format(patch=patch), str(PARAMS)]
    return subprocess.Popen(command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE)
