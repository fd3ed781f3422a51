"""The page docs/licences.md, generated from the metadata of the installed packages: `make licences`."""

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/licences.md"
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Licences

Fovea is licensed under the [Apache License 2.0](../LICENSE). `make setup` installs the packages below, each with the
licence that its metadata states. `make licences` writes this page.

| package | licence |
|---|---|
"""


def locked() -> list[str]:
    """Names of the packages in requirements.lock, in its order."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)


def licence_of(package: PackageMetadata) -> str:
    """The licence that the metadata states: as an expression, as classifiers, or as text, of which the first line."""
    expression = str(package["License-Expression"] or "") if "License-Expression" in package else ""
    classifiers = [each.rpartition(" :: ")[2] for each in package.get_all("Classifier") or [] if "License ::" in each]
    text = (str(package["License"]).strip().splitlines() or [""])[0] if "License" in package else ""
    stated = expression or ", ".join(each for each in classifiers if each != "OSI Approved") or text
    return stated[:80] or "not stated"


def rows() -> dict[str, str]:
    """The row of each locked package that is installed."""
    found = {}
    for name in locked():
        try:
            found[name] = f"| {name} | {licence_of(metadata(name))} |"
        except PackageNotFoundError:  # for another platform
            continue
    return found


if __name__ == "__main__":
    PAGE.write_text(HEADER + "\n".join(rows().values()) + "\n", encoding="utf-8")
