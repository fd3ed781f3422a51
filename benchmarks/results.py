"""Tables of results: printed, stored with machine, versions, commit and date, and copied into docs/benchmarks.md.

A table of the page lies between `<!-- table: NAME -->` and `<!-- end -->`. `python benchmarks/results.py` copies the
stored tables into the page; figures in its text are not changed.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

from peer_data import ROOT
from table import machine

from pipeline.errors import UserError
from pipeline.files import write_file
from pipeline.terminal.console import run_main

FOLDER = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
_TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def publish(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, and store it as `benchmarks/results/NAME.json`."""
    content = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "machine": machine(),
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    write_file(FOLDER / f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print("\n" + _markdown(name) + "\n", flush=True)


def _markdown(name: str) -> str:
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the benchmark that measures {name}")
    content = json.loads(path.read_text(encoding="utf-8"))
    lines = [content["columns"], ["---"] * len(content["columns"]), *content["rows"]]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    commit = f", commit {content['commit']}" if "commit" in content else ""
    return f"Measured on {content['date']}{commit}: {content['machine']}.\n\n{rows}"


def _commit() -> str:
    """Abbreviated commit, followed by `-dirty` if anything but results and pages has changed since."""
    code = [".", ":!benchmarks/results", ":!docs"]
    commit, changed = (
        subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        for command in (["rev-parse", "--short=7", "HEAD"], ["status", "--porcelain", "--", *code])
    )
    return f"{commit}-dirty" if changed else commit


def main() -> None:
    """Copy the stored tables into the page."""
    page = PAGE.read_text(encoding="utf-8")
    copied = _TABLE.sub(lambda found: f"<!-- table: {found[1]} -->\n{_markdown(found[1])}\n<!-- end -->", page)
    write_file(PAGE, copied)


if __name__ == "__main__":
    run_main(main)
