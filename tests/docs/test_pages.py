"""The pages for users: all commands work in the order of the pages, and print the output shown on them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from PIL import Image, ImageDraw
from ruamel.yaml import YAML

from pipeline.params_file import read_yaml, validate
from pipeline.sections import Params
from tests.conftest import ROOT, SMALL, clone
from tests.docs.console import Session, Step, blocks, steps

# The pages in reading order; each starts in the state that the previous one left.
READ = (
    "README.md",
    "docs/installation.md",
    "docs/data.md",
    "docs/params.md",
    "docs/studies.md",
    "docs/evaluation.md",
    "docs/review.md",
)
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Languages of blocks not run here: commands for a cluster, and changes that another test applies.
ELSEWHERE = {"docs/cluster.md": {"sh"}, "docs/extending.md": {"python", "diff"}}
# Running with the settings that `init` writes takes minutes; their accuracy is measured by a benchmark.
BRIEF = [
    "training.epochs=10", "search.trials=1", "search.epochs=4", "search.min_epochs=2",
    "evaluate.corruptions=[shift,blur]", "evaluate.pixel_permutation.epochs=1", "evaluate.interpretation.images=1",
    "evaluate.interpretation.channels=2",
]  # fmt: skip
SERVERS = ("fovea ui", "fovea serve", "fovea dashboard")
# Each of these is also tested elsewhere.
TESTED_ELSEWHERE = (
    "make repro", "dvc exp run", "dvc metrics diff", "dvc plots diff", "dvc repro", "fovea plan", "fovea sync",
    "fovea predict ../new", "find", "curl", *SERVERS,
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_run_by_a_test(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    allowed = {"console", "yaml", "text"} if page in READ else {"yaml", "text"}
    assert {language for language, _ in blocks(text)} <= allowed | ELSEWHERE.get(page, set())
    assert not re.search(r"\n\n {4}\S", re.sub(r"```.*?```", "", text, flags=re.DOTALL)), "an indented block"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_sentence_exists(page: str) -> None:
    """Checks names and options, since commands in sentences are not run."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for command, arguments in re.findall(r"`fovea ([a-z]+)([^`]*)`", text):
        assert set(re.findall(r"--[a-z-]+", arguments)) <= options(command), command
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets[1].split())


@cache
def options(command: str) -> set[str]:
    """The options that the help of a `fovea` command lists."""
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, (command, shown.stderr)
    return set(re.findall(r"--[a-z-]+", shown.stdout))


def test_figures_in_the_readme_are_those_of_the_benchmarks() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (?:test|best).*$", readme, re.MULTILINE)
    assert len(table) == 2
    for figure in re.findall(r"0\.\d+", " ".join(table)):
        assert figure in measured, figure
    header = re.search(r"^# accuracy .*$", (ROOT / "examples/image_folder.yaml").read_text(), re.MULTILINE)
    assert header is not None
    (shapes,) = re.findall(r"Test accuracy (0\.\d+) \(95% interval (0\.\d+) to (0\.\d+)\), …", readme)
    assert re.findall(r"0\.\d+", header[0]) == list(shapes)


@pytest.mark.parametrize("page", PAGES)
def test_excerpts_of_params_on_a_page_are_valid(page: str) -> None:
    base = read_yaml(ROOT / "params.yaml")
    for language, content in blocks((ROOT / page).read_text(encoding="utf-8")):
        part = YAML(typ="safe").load(content) if language == "yaml" else None
        if part is None or "apiVersion" in part:
            continue
        validate(Params, _merged(base, _in_its_section(part)), page)


def _in_its_section(part: dict[str, object]) -> dict[str, object]:
    sections = {"space": "search", "gate": "register"}
    (key,) = part
    return {sections[key]: part} if key in sections else part


def _merged(base: dict[str, object], part: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in part.items():
        old = merged.get(key)
        whole = key == "space" or not (isinstance(old, dict) and isinstance(value, dict))
        merged[key] = value if whole else _merged(old, value)  # type: ignore[arg-type]
    return merged


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A shell in a folder with the repository to clone, a folder of images, and pictures to classify."""
    origin = clone(tmp_path / "origin")
    origin.edit_params(SMALL)
    (origin.root / "dvc.lock").unlink(missing_ok=True)
    origin.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "Small")
    draw(tmp_path)
    identity = {"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test",
                "GIT_COMMITTER_EMAIL": "test@localhost"}  # fmt: skip
    opened = Session(tmp_path, origin.environment(**identity), SERVERS)
    yield opened
    opened.close()


def draw(folder: Path) -> None:
    """Draw filled shapes on a grey background: a folder for each class, and some pictures outside of them."""
    random = np.random.default_rng(0)
    for name in ("circle", "square"):
        (folder / "shapes" / name).mkdir(parents=True)
        for number in range(60):
            shape(name, random).save(folder / "shapes" / name / f"{number}.png")
    shape("circle", random).save(folder / "picture.png")
    for place in ("new/one.png", "more/of/them/two.jpg"):
        (folder / place).parent.mkdir(parents=True)
        shape("square", random).save(folder / place)


def shape(name: str, random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (16, 16), (90, 90, 90))
    x, y = random.integers(0, 7, 2).tolist()
    pen = ImageDraw.Draw(image)
    (pen.ellipse if name == "circle" else pen.rectangle)((x, y, x + 8, y + 8), fill=(220, 60, 40))
    return image


@pytest.mark.parametrize(
    "skipped", [pytest.param(TESTED_ELSEWHERE, marks=pytest.mark.slow), pytest.param((), marks=pytest.mark.long)],
    ids=["from images to a champion", "all"],
)  # fmt: skip
def test_the_commands_of_the_pages_work_in_order_in_a_fresh_clone(
    skipped: tuple[str, ...], session: Session, tmp_path: Path
) -> None:
    for page in READ:
        for step in steps(ROOT / page):
            if step.command.startswith(skipped):
                continue
            session.run(Step(page, step.command.replace("<this repository>", str(tmp_path / "origin")), step.output))
            if step.command.startswith("git clone"):
                install(session.folder)
            if step.command.startswith("fovea init"):
                apply_overrides(session.folder / "params.yaml", BRIEF)
        session.close()  # servers have the same port on every page


def install(project: Path) -> None:
    """Create what `make setup` leaves, with links to this environment; the installation itself is not tested here."""
    environment = Path(sys.prefix)
    (project / ".venv").mkdir()
    for name in ("bin", "lib", "include", "pyvenv.cfg"):
        (project / ".venv" / name).symlink_to(environment / name)
    for mark in (".ready", ".ready-dev"):
        (project / ".venv" / mark).touch()
