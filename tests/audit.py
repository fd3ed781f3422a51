"""Check the locked dependencies for known vulnerabilities: `make audit`."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCKS = [Path(__file__).parents[1] / name for name in ("requirements.lock", "requirements-dev.lock")]
COMMAND = ["uvx", "--quiet", "pip-audit==2.10.1", "--disable-pip", "--require-hashes", "--format=json"]


def verdict(report: dict[str, Any], lock: str) -> tuple[str, bool]:
    """Describe a report of pip-audit in words; also return whether it contains no vulnerability."""
    known = [each for each in report["dependencies"] if "skip_reason" not in each]
    lines = [
        f"{lock}: {each['name']} {each['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or '-'}"
        for each in known
        for found in each["vulns"]
    ]
    skipped = len(report["dependencies"]) - len(known)
    if skipped:
        lines.append(f"{lock}: skipped: the database does not know {skipped} of {len(report['dependencies'])} packages")
    return "\n".join([*lines, f"{lock}: {len(known)} packages checked"]), len(lines) == bool(skipped)


def audit(locks: Sequence[Path]) -> int:
    """Audit lock files, print what was found, and return the exit status: 1 if there is a vulnerability."""
    status = 0
    for lock in locks:
        try:
            done = subprocess.run(
                [*COMMAND, "--requirement", str(lock)], capture_output=True, text=True, check=False, timeout=120
            )
            report = json.loads(done.stdout)
        except (FileNotFoundError, ValueError, subprocess.TimeoutExpired):  # without uv, or without a connection
            print(f"{lock.name}: skipped: pip-audit, or its database, cannot be reached")
            continue
        text, clean = verdict(report, lock.name)
        print(text)
        status |= not clean
    return status


if __name__ == "__main__":
    sys.exit(audit(LOCKS))
