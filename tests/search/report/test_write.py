"""The report of a study: pictures, interactive pages, and the page that combines them."""

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markupsafe import escape

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.pages import svg
from pipeline.pages.architecture_diagram import architecture_diagram
from pipeline.pages.tables import Cell, Column, table
from pipeline.params import Block, Head
from pipeline.plots.figure import save_figure
from search.estimate.precheck import RandomDraws
from search.plots.learning_curves import learning_curves
from search.plots.ranges import range_that_matters
from search.report.page import verdict
from search.report.write import write_reports
from search.space.draw import propose
from search.study.job import Job, RungResult
from search.study.results import TrialResult
from tests.search.harness import StudyHarness, learn
from tests.search.spaces import MODEL, WIDE

HOSTILE = '</td><script>alert("x")</script>&amp; <img src="http://example.org/x.png">'
SPACE = {
    "blocks": {"low": 1, "high": 3},
    "filters": {"choices": (4, 8, 32)},
    "kernel_size": {"choices": (3, 5)},
    "residual": {"choices": (False, True)},
}
BUDGET = {"max_params": 30_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}
CONTINUOUS = {"filters": {"choices": (4, 8)}, "learning_rate": {"low": 0.001, "high": 0.1, "log": True}}


def fail_with_a_hostile_sentence(job: Job, data: TrainingData) -> RungResult:
    """Learn, except for networks with three blocks and large kernels, which fail."""
    if len(job.architecture.blocks) == 3 and job.architecture.blocks[0].kernel_size == 5:
        return RungResult(failure="diverged", detail=HOSTILE)
    return learn(job, data)


def report(harness: StudyHarness, folder: Path) -> tuple[TrialResult, ...]:
    driver = harness.driver()
    for _ in driver.run():
        pass
    results = driver.ended()
    assert harness.study is not None
    write_reports(harness.study, results, harness.config, folder, folder.with_name("timed.html"))
    return results


def study_with_all_states(folder: Path) -> StudyHarness:
    """A study with trials in every state."""
    return StudyHarness(
        folder, fail_with_a_hostile_sentence, trials=24, space=SPACE, budget=BUDGET, sampler="random", max_failures=24
    )


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyHarness, tuple[TrialResult, ...], Path]:
    root = tmp_path_factory.mktemp("reported")
    harness = study_with_all_states(root)
    return harness, report(harness, root / "search"), root / "search"


class Reader(HTMLParser):
    """Collects tables by caption, headings, and all attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self._caption = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "tr" and "tbody" in self._open:
            self.tables[self._caption].append([])
        if tag in ("td", "th") and "tbody" in self._open:
            self.tables[self._caption][-1].append("")
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "caption" in self._open:
            self._caption = data
            self.tables[data] = []
        elif self._open and self._open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        elif "tbody" in self._open and self._open[-1] in ("td", "th"):
            self.tables[self._caption][-1][-1] += data


@pytest.mark.slow
def test_the_page_lists_every_trial_with_its_state(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    _, results, folder = reported
    rows = Reader((folder / "index.html").read_text()).tables["All trials, best first"]
    assert sorted((int(row[0].split()[0]), row[1]) for row in rows) == [(each.number, each.state) for each in results]
    assert "(chosen)" in rows[0][0]
    ranked = [float(row[2]) for row in rows if row[1] == "complete"]
    assert ranked == sorted(ranked, reverse=True)
    assert [row[1] for row in rows].index("pruned") > max(n for n, row in enumerate(rows) if row[1] == "complete")
    assert {result.state for result in results} == {"complete", "pruned", "reused", "infeasible", "failed"}
    assert sum("(chosen)" in row[0] for row in rows) == 1


@pytest.mark.slow
def test_the_page_lists_failures_by_class_and_counts_infeasible_candidates(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    _, results, folder = reported
    tables = Reader((folder / "index.html").read_text()).tables
    failed = [str(result.number) for result in results if result.state == "failed"]
    assert tables["Failed trials"] == [[number, "diverged", HOSTILE] for number in failed]
    infeasible = sum(result.state == "infeasible" for result in results)
    broken = tables["Rules violated by candidates that were not trained"]
    assert [row[:2] for row in broken] == [["search.budget.max_params", str(infeasible)]]


@pytest.mark.slow
def test_the_page_escapes_markup_in_data(reported: tuple[StudyHarness, tuple[TrialResult, ...], Path]) -> None:
    text = (reported[2] / "index.html").read_text()
    assert HOSTILE not in text
    assert text.count("<script") == 1
    assert escape(HOSTILE) in text


@pytest.mark.slow
def test_the_page_loads_no_other_files(reported: tuple[StudyHarness, tuple[TrialResult, ...], Path]) -> None:
    text = (reported[2] / "index.html").read_text()
    assert len(text) < 8_000_000
    read = Reader(text)
    siblings = {path.name for path in reported[2].iterdir()}
    for tag, name, value in read.attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert value.startswith(("#", "data:")) or (tag == "a" and value in siblings), (tag, name, value)
        assert name == "content" or not re.search(r"url\((?!#)", value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


@pytest.mark.slow
def test_ids_on_the_page_are_unique_and_references_resolve(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    read = Reader((reported[2] / "index.html").read_text())
    names = Counter(value for _, name, value in read.attributes if name == "id")
    assert [name for name, count in names.items() if count > 1] == []
    used = {value[1:] for _, name, value in read.attributes if name == "href" and value.startswith("#")}
    used |= {found for _, _, value in read.attributes for found in re.findall(r"url\(#([^)]+)\)", value)}
    assert used <= set(names)


@pytest.mark.slow
def test_every_picture_has_a_description_and_every_table_a_caption(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    text = (reported[2] / "index.html").read_text()
    assert '<html lang="en">' in text
    assert all("aria-label=" in tag for tag in re.findall(r"<svg[^>]*>", text))
    assert text.count("<figure") == text.count("<figcaption") == 8
    assert text.count("<table") == text.count("<caption")
    assert Reader(text).headings[:2] == ["Study study-24", "Best architecture"]


@pytest.mark.slow
def test_equal_studies_produce_equal_reports(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path], tmp_path: Path
) -> None:
    report(study_with_all_states(tmp_path), tmp_path / "search")
    names = sorted(path.name for path in reported[2].iterdir())
    assert names == sorted(path.name for path in (tmp_path / "search").iterdir())
    assert [
        name for name in names if (reported[2] / name).read_bytes() != (tmp_path / "search" / name).read_bytes()
    ] == []


@pytest.mark.slow
def test_the_timed_page_also_has_the_wall_time_and_links_to_the_report(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    folder = reported[2]
    untimed, timed = (Reader((folder.parent / name).read_text()) for name in ("search/index.html", "timed.html"))
    figures = [[value for tag, name, value in read.attributes if name == "aria-label"] for read in (untimed, timed)]
    assert {label.partition(" of ")[0] for label in figures[1]} - {
        label.partition(" of ")[0] for label in figures[0]
    } == {"wall time"}
    links = [value for tag, name, value in timed.attributes if (tag, name) == ("a", "href") and value[0] != "#"]
    assert "search/trials.csv" in links
    assert [link for link in links if not (folder.parent / link).is_file()] == []
    assert "studies/study-24/index.html" in (folder / "index.html").read_text()


def test_failures_and_outliers_do_not_compress_the_scale() -> None:
    assert range_that_matters([0.98, 0.97, 0.96, 0.95, 0.1], maximize=True) == pytest.approx((0.937, 0.983), abs=0.003)
    low, high = range_that_matters([0.1, 0.12, 0.14, 9.0], maximize=False) or (0.0, 0.0)
    assert low < 0.1 < 0.14 < high < 1.0
    assert range_that_matters([0.9, 0.92, 0.95], maximize=True) is None
    assert range_that_matters([0.9], maximize=True) is None


@pytest.mark.slow
def test_each_trial_has_a_learning_curve_of_its_values(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    harness, results, _ = reported
    lines = learning_curves(results, harness.config).axes[0].lines
    drawn = {tuple(line.get_ydata()) for line in lines}
    trained = [each for each in results if each.state in ("complete", "pruned")]
    assert {tuple(epoch["val_accuracy"] for epoch in each.history) for each in trained} <= drawn


def test_trials_far_below_the_scale_are_not_labelled_and_do_not_compress_the_learning_curves(tmp_path: Path) -> None:
    ceilings = iter((0.98, 0.97, 0.96, 0.2, 0.05))

    def work(job: Job, data: TrainingData) -> RungResult:
        ceiling = next(ceilings)
        history = (
            {
                "epoch": 1,
                "loss": 1.0,
                "val_accuracy": ceiling,
                "val_macro_f1": ceiling,
                "val_balanced_accuracy": ceiling,
                "val_loss": 1.0,
            },
        )
        return RungResult(history, b"", seconds=1.0)

    harness = StudyHarness(tmp_path, work, trials=5, epochs=1, min_epochs=1, concurrency=1, pruner="none")
    results = tuple(harness.driver().run())
    assert sorted(each.val_accuracy or 0.0 for each in results) == [0.05, 0.2, 0.96, 0.97, 0.98]
    figure = learning_curves(results, harness.config)
    save_figure(figure, tmp_path / "curves.png")  # matplotlib's warning of a collapsed layout is an error
    low, _ = figure.axes[0].get_ylim()
    assert low > 0.2
    assert len(figure.axes[0].texts) == 3


@pytest.mark.slow
def test_only_the_timed_page_links_trials_to_their_runs(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=2)
    results = tuple(harness.driver().run())
    assert harness.study is not None
    runs = {str(each.number): f"http://127.0.0.1:5000/#/experiments/1/runs/r{each.number}" for each in results}
    write_reports(harness.study, results, harness.config, tmp_path / "search", tmp_path / "timed.html", runs)
    links = [value for _, name, value in Reader((tmp_path / "timed.html").read_text()).attributes if name == "href"]
    assert set(runs.values()) <= set(links)
    assert "127.0.0.1" not in (tmp_path / "search/index.html").read_text()


@pytest.mark.slow
def test_there_is_no_pareto_front_for_one_objective(
    reported: tuple[StudyHarness, tuple[TrialResult, ...], Path],
) -> None:
    assert not list(reported[2].glob("pareto_front.*"))
    assert "Pareto" not in (reported[2] / "index.html").read_text()


@pytest.mark.parametrize("objectives", [("val_accuracy", "params"), ("val_loss", "val_macro_f1", "macs")])
@pytest.mark.slow
def test_several_objectives_have_a_pareto_front(tmp_path: Path, objectives: tuple[str, ...]) -> None:
    harness = StudyHarness(tmp_path, trials=8, space=CONTINUOUS, objectives=objectives)
    report(harness, tmp_path / "search")
    read = Reader((tmp_path / "search/index.html").read_text())
    assert "Pareto front" in read.headings
    assert sum("(chosen)" in row[0] for row in read.tables["Trials on the Pareto front"]) == 1
    assert (tmp_path / "search/pareto_front.png").read_bytes().startswith(b"\x89PNG")
    assert "on the front" in (tmp_path / "search/pareto_front.html").read_text()


def test_the_verdict_follows_the_first_objective(tmp_path: Path) -> None:
    harness = StudyHarness(tmp_path, trials=6, space=CONTINUOUS, objectives=("val_loss",), pruner="none")
    driver = harness.driver()
    results = list(driver.run())
    least = min(results, key=lambda result: result.history[-1]["val_loss"])
    text = verdict(results, harness.config)
    assert text.startswith(f"Trial {least.number} ")
    assert f"validation loss {least.history[-1]['val_loss']:.4f}, {least.cost['params']:,} parameters" in text
    assert ". 6 trials: 6 complete." in text


@pytest.mark.slow
def test_a_study_in_which_no_trial_completed_has_a_report(tmp_path: Path) -> None:
    harness = StudyHarness(
        tmp_path, lambda job, data: RungResult(failure="out_of_memory", detail="no"), trials=2, max_failures=2
    )
    driver = harness.driver()
    results = tuple(driver.run())
    assert harness.study is not None
    write_reports(harness.study, results, harness.config, tmp_path / "search", tmp_path / "timed.html")
    read = Reader((tmp_path / "search/index.html").read_text())
    assert read.tables["Failed trials"] == [["0", "out of memory", "no"], ["1", "out of memory", "no"]]
    assert "Best architecture" not in read.headings


@pytest.mark.slow
def test_a_large_picture_is_embedded_as_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_CHARACTERS", 10)
    report(StudyHarness(tmp_path, trials=1), tmp_path / "search")
    text = (tmp_path / "search/index.html").read_text()
    assert 'svg class="plot"' not in text
    assert text.count('<img src="data:image/png;base64,') == 7


def texts_of_diagram(architecture: Architecture) -> list[str]:
    """All texts of the diagram, which must be well-formed."""
    return [
        text
        for text in ElementTree.fromstring(architecture_diagram(compute_geometry(architecture))).itertext()
        if text.strip()
    ]


def test_the_diagram_names_each_part_of_a_block() -> None:
    block = Block(
        filters=32, convs=2, kernel_size=(3, 5), strides=2, normalization="batch", residual=True,
        attention="squeeze_excite", pooling="min", pool_size=2, dropout=0.25,
    )  # fmt: skip
    architecture = Architecture(input_shape=(16, 24, 3), classes=7, blocks=(block,), head=Head(dense=(9,), dropout=0.5))
    assert texts_of_diagram(architecture) == [
        *("Input", "input", "standardized", "16×24×3"),
        *("Block 1", "conv 3×5", "32 filters, stride 2", "batch norm, relu", "8×12×32"),
        *("conv 3×5", "32 filters", "batch norm", "8×12×32", "squeeze-excite", "32 → 4 → 32", "8×12×32"),
        *("add", "relu", "8×12×32", "min pooling 2×2", "stride 2", "dropout 0.25", "4×6×32", "conv 1×1 stride 2"),
        *("Head", "flatten", "dropout 0.5", "768", "dense 9", "relu, dropout 0.5", "9", "dense 7", "softmax", "7"),
    ]


@pytest.mark.parametrize("input_shape", [(24, 2), (9, 11, 1), (6, 5, 4, 1)])
def test_the_diagram_has_a_box_for_each_layer_that_computes(input_shape: tuple[int, ...]) -> None:
    draws = RandomDraws(0)
    for _ in range(40):
        architecture = propose(draws, WIDE, MODEL, input_shape, 3).architecture
        texts = Counter(texts_of_diagram(architecture))
        convolutions = sum(block.convs for block in architecture.blocks)
        assert (
            sum(count for text, count in texts.items() if text.endswith(" filters") or " filters, " in text)
            >= convolutions
        )
        assert texts["add"] == sum(block.residual for block in architecture.blocks)
        assert sum(" pooling " in text for text in texts.elements()) == sum(
            block.pooling != "none" for block in architecture.blocks
        )


def test_the_diagram_of_a_network_without_blocks_has_a_head() -> None:
    architecture = Architecture(input_shape=(4, 4, 1), classes=2, blocks=(), head=Head())
    assert texts_of_diagram(architecture)[-4:] == ["16", "dense 2", "softmax", "2"]


def test_cells_are_sorted_by_their_values_and_escaped() -> None:
    columns: Sequence[Column] = (Column("<a>"), Column("n", number=True, first="descending"))
    text = table("a & b", columns, [["<x>", Cell("1,000", 1000)]], sorted_by=0)
    assert "<caption>a &amp; b</caption>" in text
    assert (
        '<th scope="col" aria-sort="ascending" data-first="ascending"><button type="button">&lt;a&gt;</button>' in text
    )
    assert '<th scope="row">&lt;x&gt;</th><td class="number" data-value="1000">1,000</td>' in text
