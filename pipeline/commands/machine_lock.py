"""Explain why outputs differ from the committed ones.

The same code, data and parameters produce the same bytes only on the same kind of machine, since other processor
instructions, or a GPU, round differently. `machine.lock`, next to dvc.lock, records for each stage the kind of machine
that computed its outputs.
"""

import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.files import write_file
from pipeline.tracking.dvc_lock import read_mappings, read_stages, read_text

DVC_LOCK = Path("dvc.lock")
MACHINE_LOCK = Path("machine.lock")
NO_ENTRY: dict[str, Any] = {"deps": [], "outs": []}
HEADER = "# The kind of machine that computed the outputs in dvc.lock. `fovea run` writes it; commit both together.\n"


def record_machine(before: str) -> None:
    """Record the kind of this machine for each stage with new outputs.

    Args:
        before: Content of dvc.lock before the run.
    """
    earlier, stages = read_stages(before), read_stages(read_text(DVC_LOCK))
    now = {stage: _digests(entry) for stage, entry in stages.items()}
    recorded = {stage: entry for stage, entry in read_mappings(read_text(MACHINE_LOCK)).items() if stage in now}
    new = [
        stage
        for stage, outputs in now.items()
        if outputs != _digests(earlier.get(stage, NO_ENTRY)) and outputs != recorded.get(stage, {}).get("outputs")
    ]
    if new:
        machine = _describe_machine()
        recorded |= {stage: {**machine, "outputs": now[stage]} for stage in new}
        text = StringIO()
        YAML().dump(dict(sorted(recorded.items())), text)
        write_file(MACHINE_LOCK, HEADER + text.getvalue())


def explain_differences() -> list[str]:
    """Return a paragraph for each stage that produced different outputs from the committed inputs.

    Stages whose code, data or parameters differ are omitted, and so are stages that depend on outputs that differ.
    """
    committed, present = read_stages(_committed(DVC_LOCK)), read_stages(read_text(DVC_LOCK))
    machines = read_mappings(_committed(MACHINE_LOCK)), read_mappings(read_text(MACHINE_LOCK))
    paragraphs = []
    for stage, entry in present.items():
        other = committed.get(stage, NO_ENTRY)
        theirs, ours = _digests(other), _digests(entry)
        if theirs == ours or any(entry.get(part) != other.get(part) for part in ("cmd", "deps", "params")):
            continue
        differ = ", ".join(path for path in ours if ours[path] != theirs.get(path))
        reason = _reason(*(_recorded(*pair, stage) for pair in zip(machines, (theirs, ours), strict=True)))
        paragraphs.append(
            f"dvc.lock: {stage} produced different outputs from the same inputs as the last commit: {differ}\n"
            f"  {reason}"
        )
    return paragraphs


def _reason(theirs: str, ours: str) -> str:
    """Explain why outputs differ, and what to do.

    Args:
        theirs: Machine of the committed outputs; empty: unknown.
        ours: Machine of the present outputs; empty: unknown.
    """
    if not theirs or not ours:
        return (
            f"{MACHINE_LOCK} does not name the machine of the {'present' if theirs else 'committed'} outputs, so the "
            "reason is unknown; processors with different instruction sets round differently. `fovea run` records the "
            "machine."
        )
    if theirs == ours:
        return (
            f"Both were computed on {ours}, so they should be identical. If your library versions match "
            "requirements.lock, please report this with both versions of dvc.lock."
        )
    return (
        f"The machines round differently: the committed outputs were computed on {theirs}, the present ones on {ours}. "
        f"To keep the present ones, commit dvc.lock and {MACHINE_LOCK}; to reproduce the committed ones, run on the "
        "same kind of machine."
    )


def _recorded(machines: dict[str, Any], outputs: dict[str, str], stage: str) -> str:
    """Describe the machine that computed these outputs of a stage; empty if it is not recorded."""
    entry = machines.get(stage, {})
    if entry.get("outputs") != outputs:
        return ""
    names = {"onednn": "oneDNN", "openblas": "OpenBLAS"}
    chosen = [f"{library} {entry[key]}" for key, library in names.items() if key in entry]
    return " with ".join(filter(None, (entry.get("device"), ", ".join(chosen))))


def _describe_machine() -> dict[str, str]:
    """Describe what results depend on: the GPU or processor family, and the instruction sets that libraries select."""
    from pipeline.machine.device import describe_device  # imports numpy, which is not needed if no stage runs
    from pipeline.machine.instructions import instruction_tags

    instructions = {name.removeprefix("device."): choice for name, choice in instruction_tags().items()}
    return {"device": describe_device()["device"], **instructions}


def _digests(stage: dict[str, Any]) -> dict[str, str]:
    return {str(out["path"]): str(out.get("md5")) for out in stage["outs"]}


def _committed(path: Path) -> str:
    """Read a file of the working directory as of the last commit; empty if the commit does not contain it."""
    done = subprocess.run(  # noqa: S603  # no shell, and the path is our own
        ["git", "show", f"HEAD:./{path}"],  # noqa: S607  # the user's git
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""
