"""Say why outputs differ from the committed ones.

The same code, data and parameters give the same bytes on the same kind of machine only: other instructions of the
processor, or a GPU, round in another way. `machine.lock` stands beside dvc.lock and names, for each stage, the kind of
machine that computed its outputs.
"""

import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.files import write_file

DVC_LOCK = Path("dvc.lock")
MACHINE_LOCK = Path("machine.lock")
HEADER = "# The kind of machine that computed the outputs in dvc.lock. `fovea run` writes it; commit both together.\n"


def read(path: Path) -> str:
    """The content of a file; empty where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def record_machine(before: str) -> None:
    """Write the kind of this machine beside the stages whose outputs are new.

    Args:
        before: the content of dvc.lock before the run.
    """
    earlier, stages = _stages(before), _stages(read(DVC_LOCK))
    now = {stage: _digests(entry) for stage, entry in stages.items()}
    recorded = {stage: entry for stage, entry in _mapping(read(MACHINE_LOCK)).items() if stage in now}
    new = [
        stage
        for stage, outputs in now.items()
        if outputs != _digests(earlier.get(stage, {})) and outputs != recorded.get(stage, {}).get("outputs")
    ]
    if new:
        machine = _describe_machine()
        recorded |= {stage: {**machine, "outputs": now[stage]} for stage in new}
        text = StringIO()
        YAML().dump(dict(sorted(recorded.items())), text)
        write_file(MACHINE_LOCK, HEADER + text.getvalue())


def explain_differences() -> list[str]:
    """A paragraph for each stage that gave other outputs than the committed ones from the same inputs.

    A stage with other code, data or parameters has a reason to differ; so has one after a stage that differs.
    """
    committed, present = _stages(_committed(DVC_LOCK)), _stages(read(DVC_LOCK))
    machines = _mapping(_committed(MACHINE_LOCK)), _mapping(read(MACHINE_LOCK))
    paragraphs = []
    for stage, entry in present.items():
        other = committed.get(stage, {})
        theirs, ours = _digests(other), _digests(entry)
        if theirs == ours or any(entry.get(part) != other.get(part) for part in ("cmd", "deps", "params")):
            continue
        differ = ", ".join(path for path in ours if ours[path] != theirs.get(path))
        reason = _reason(*(_recorded(*pair, stage) for pair in zip(machines, (theirs, ours), strict=True)))
        paragraphs.append(f"dvc.lock: {stage} gave other outputs from the committed inputs: {differ}\n  {reason}")
    return paragraphs


def _reason(theirs: str, ours: str) -> str:
    """Why outputs differ, and what to do, given the kinds of machine; an unknown one is empty."""
    if not theirs or not ours:
        return (
            f"The {'present' if theirs else 'committed'} outputs have no machine in {MACHINE_LOCK}, so the reason is "
            "not known; other instructions of the processor round differently. 'fovea run' records them."
        )
    if theirs == ours:
        return (
            f"Both were computed on {ours}, where they should be the same. If your versions of the libraries are "
            "those of requirements.lock, please report it, with both versions of dvc.lock."
        )
    return (
        f"The reason is the machine, which rounds differently: the committed ones were computed on {theirs}, these "
        f"on {ours}. Commit dvc.lock and {MACHINE_LOCK} to go on with these; for the committed ones, run on a "
        "machine of their kind."
    )


def _recorded(machines: dict[str, Any], outputs: dict[str, str], stage: str) -> str:
    """The machine on which just these outputs of a stage were computed; empty if it is not known."""
    entry = machines.get(stage, {})
    if entry.get("outputs") != outputs:
        return ""
    names = {"onednn": "oneDNN", "openblas": "OpenBLAS"}
    chosen = [f"{library} {entry[key]}" for key, library in names.items() if key in entry]
    return " with ".join(filter(None, (entry.get("device"), ", ".join(chosen))))


def _describe_machine() -> dict[str, str]:
    """What results depend on: a GPU or the processor's family, and the instructions that libraries choose."""
    from pipeline.machine.device import describe_device  # imports numpy, which a run with nothing to do does not need
    from pipeline.machine.instructions import instruction_tags

    instructions = {name.removeprefix("device."): choice for name, choice in instruction_tags().items()}
    return {"device": describe_device()["device"], **instructions}


def _stages(lock: str) -> dict[str, Any]:
    return dict(_mapping(lock).get("stages", {}))


def _digests(stage: dict[str, Any]) -> dict[str, str]:
    return {str(out["path"]): str(out.get("md5")) for out in stage.get("outs", ())}


def _mapping(text: str) -> dict[str, Any]:
    """The mapping in a YAML file; an empty one where it is damaged."""
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _committed(path: Path) -> str:
    """The last commit's version of a file in this folder; empty where there is none."""
    done = subprocess.run(
        ["git", "show", f"HEAD:./{path}"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    return done.stdout if done.returncode == 0 else ""
