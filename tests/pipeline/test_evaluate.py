"""The stage evaluate, on a network whose predictions are known."""

import csv
import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import evaluate, register
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.cnn.keras_file import save_model
from pipeline.corruptions.corruptions import CORRUPTIONS
from pipeline.data.dataset import Dataset, read_dataset, write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.errors import UserError
from pipeline.evaluate import Paths
from pipeline.evaluation.choice import RUNNER_UP_MODEL, Choice, write_choice
from pipeline.inference.classifier import lineage
from pipeline.params import Head
from pipeline.registry.versions import open_registry
from pipeline.report.sections import PARTS
from pipeline.sections import EvaluateParams, RegisterParams
from pipeline.sections.gate_rules import METRICS
from pipeline.sections.load import load_params
from pipeline.terminal import progress
from pipeline.tracking.record import RunRecord, write_record
from tests.pipeline.param_sections import params_with
from tests.pipeline.training.trainings import training

PARAMS = load_params(Path(__file__).resolve().parents[2] / "params.yaml").evaluate
CLASSES = ("dark", "bright")
REGISTER = RegisterParams(
    name="fovea",
    gate=("accuracy >= 0.9", "latency_ms < 1e4", "p_value < 0.05"),
    promote_if="better",
    alpha=0.05,
    margin=0.01,
    exports=(),
)
REGISTERING = params_with(register_=REGISTER, evaluate=PARAMS, training=training(threads=1), seed=0)
COUNTS = {"train": 60, "val": 30, "test": 40}
ARCHITECTURE = Architecture(input_shape=(4, 4, 1), classes=2, blocks=(), head=Head())
PATHS = Paths(
    model=Path("model.keras"), candidate=Path("model.yaml"),
    prepared=Path("prepared"), training=Path("training"), reports=Path("reports"),
    ood_detector=Path("ood_detector.npz"), logs=Path("logs/evaluate"),
)  # fmt: skip

CHOICE = Choice(
    "winner", "baseline", "the better val_accuracy after training", 30, 0.9, 0.1, difference=0.8, difference_low=0.6,
    difference_high=0.9, p_value=0.001,
)  # fmt: skip


def write_network(path: Path, sharpness: float) -> None:
    """Write a network that classifies an image as bright if its mean is above 127.5."""
    model = build(ARCHITECTURE, (127.5,), (100.0,))
    model.get_layer("scores").set_weights([np.tile([-sharpness, sharpness], (16, 1)), np.zeros(2)])
    save_model(model, path, CLASSES)


def write_finished_training() -> None:
    """Write two trained networks into the working folder; the baseline misclassifies what the other one does not."""
    write_network(PATHS.model, 0.5)
    write_network(PATHS.training / RUNNER_UP_MODEL, -0.5)
    write_choice(CHOICE, PATHS.training / "choice.json")
    write_candidate(Candidate(architecture=ARCHITECTURE, training={}), PATHS.candidate)
    digests = {}
    for number, (name, count) in enumerate(COUNTS.items()):
        numbers, labels = np.random.default_rng(number), np.arange(count) * 2 // count
        images = numbers.integers(0, 90, (count, 4, 4, 1)) + 160 * labels[:, None, None, None]
        if name == "test":
            labels[[3, 25]] = labels[[25, 3]]  # two images are labelled wrongly
        names = tuple(f"photos/{place}.png" for place in range(count))
        split = make_split(name, images.astype(np.uint8), labels, names)  # type: ignore[arg-type]
        write_split(split, PATHS.prepared / name)
        digests[name] = split.digest
    write_dataset(
        Dataset(
            name="light", input_shape=(4, 4, 1), dtype="uint8", classes=CLASSES,
            counts={name: {"dark": count // 2, "bright": count // 2} for name, count in COUNTS.items()},
            mean=(127.5,), std=(100.0,), digests=digests, duplicates={}, skipped=(),
        ),
        PATHS.prepared / "dataset.json",
    )  # fmt: skip
    write_record(RunRecord("training", "0123456789abcdef", "train light"), PATHS.training / "run.json")
    runner_up = RunRecord("training", "fedcba9876543210", "train light")
    write_record(runner_up, (PATHS.training / RUNNER_UP_MODEL).with_name("run.json"))


def run(params: EvaluateParams = PARAMS) -> None:
    evaluate.run(params_with(evaluate=params, training=training(), seed=0, register_=REGISTER), PATHS)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Path, str]:
    """A folder in which the network was evaluated, and the printed output."""
    folder, printed = tmp_path_factory.mktemp("evaluated"), io.StringIO()
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_finished_training()
        run()
    return folder, printed.getvalue()


@pytest.fixture
def reports(evaluated: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reports in a copy of that folder, which becomes the working folder."""
    shutil.copytree(evaluated[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return PATHS.reports


def test_metrics_are_those_of_the_test_split(reports: Path, evaluated: tuple[Path, str]) -> None:
    metrics = json.loads((reports / "metrics.json").read_text())
    assert metrics["accuracy"] == 38 / 40
    details = json.loads((reports / "details.json").read_text())
    of_signals = {f"accuracy_{name}" for name in PARAMS.corruptions if name not in CORRUPTIONS["image"]}
    of_files = {name for name in METRICS if name.startswith("whole_file_")}
    assert {*metrics, *details} == set(METRICS) - {"auroc_outliers"} - of_signals - of_files
    assert details["accuracy_low"] < 0.95 < details["accuracy_high"]
    assert details["accuracy_blur"] <= 1.0
    assert set(metrics) & set(details) == set()
    assert len(metrics) <= 8  # only those that readers compare
    assert all(len(str(value)) <= 12 for value in (metrics | details).values())
    assert details["baseline_difference"] == pytest.approx(38 / 40 - 2 / 40)
    assert details["baseline_p_value"] == pytest.approx(2 * (1 + 40 + 780) / 2**40)  # 38 of 40 discordant images
    assert metrics["macs"] == 32
    assert all(
        isinstance(value, int | float) for value in (metrics | details).values()
    )  # flat, as `dvc metrics diff` requires
    printed = evaluated[1]
    assert "2 mistakes in 40 images" in printed
    assert "0.9000 higher than that of the baseline (p = " in printed


def test_tables_name_the_classes(reports: Path) -> None:
    rows = list(csv.DictReader((reports / "classes.csv").read_text().splitlines()))
    assert [(row["class"], row["support"]) for row in rows] == [("dark", "20"), ("bright", "20")]
    confusion = list(csv.DictReader((reports / "confusion.csv").read_text().splitlines()))
    assert len(confusion) == 40
    assert sum(row["actual"] == "dark" and row["predicted"] == "bright" for row in confusion) == 1
    corruption_results = list(csv.DictReader((reports / "robustness.csv").read_text().splitlines()))
    assert len(corruption_results) == 5 * len(CORRUPTIONS["image"])
    assert {row["images"] for row in corruption_results} == {"40"}
    for row in corruption_results:
        assert 0 <= float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) <= 1
        assert float(row["high"]) - float(row["low"]) > 0.08  # 40 images do not allow a narrower interval


def test_pictures_are_drawn(reports: Path) -> None:
    pictures = {path.stem for path in reports.glob("*.png")}
    assert pictures >= {"confusion", "calibration", "curves", "mistakes", "least_certain", "robustness"}
    assert pictures >= {"corruptions", "separation"}
    for name in pictures:
        with Image.open(reports / f"{name}.png") as picture:
            assert min(picture.size) > 100
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_the_page_starts_with_the_verdict_and_loads_no_external_resources(reports: Path) -> None:
    page = (reports / evaluate.PAGE).read_text()
    assert re.search(r'<p class="verdict">Test accuracy 0\.9500 \(95% interval', page)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "latency" not in page
    assert "evaluated 20" not in page  # the page depends on the inputs alone
    footer = (PATHS.logs / evaluate.PAGE).read_text().partition("<footer>")[2]
    assert re.search(r"Model [0-9a-f]+; .*evaluated \d{4}-\d\d-\d\d", footer)


def test_tick_labels_are_plain_and_bins_and_recalls_have_intervals(reports: Path) -> None:
    page = (reports / evaluate.PAGE).read_text()
    assert "mathdefault" not in page
    assert "95% interval</text>" in page
    assert "Recall of each class on corrupted images" in page
    assert "recall with its 95% interval (Wilson)" in page
    for row in csv.DictReader((reports / "calibration.csv").read_text().splitlines()):
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])


def test_times_are_only_on_the_page_in_the_logs(reports: Path) -> None:
    cost = json.loads((PATHS.logs / "current_metrics.json").read_text())
    assert 0 < cost["latency_ms"] <= cost["latency_p95_ms"]
    assert 0 < cost["images_per_second_p5"] <= cost["images_per_second"]
    assert "latency, one image, ms" in (PATHS.logs / evaluate.PAGE).read_text()
    with open_registry("fovea", Path(".")) as registry:
        server = registry.server
        (run,) = server.client.search_runs([server.experiment_id])
    metrics = {name.partition("/")[2]: value for name, value in run.data.metrics.items()}
    assert cost.items() <= metrics.items()  # they are logged to MLflow, too
    description = run.data.tags["mlflow.note.content"]
    assert "- Test accuracy 0.9500 (95% interval " in description
    assert "- The network would become champion: there is no current champion." in description
    assert "`logs/evaluate/report.html` in the project" in description
    assert run.data.metrics["robustness/overall"] == json.loads((reports / "metrics.json").read_text())["robustness"]


@pytest.mark.slow
def test_a_second_run_reproduces_the_report_byte_for_byte_and_prints_progress(
    reports: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    first = {path.name: path.read_bytes() for path in (*reports.iterdir(), PATHS.ood_detector)}
    (reports / "old.csv").write_text("old")
    run()
    lines = capsys.readouterr().err.splitlines()
    parts = [line for line in lines if line.startswith("evaluate: part ")]
    count = len(PARTS)
    assert parts[0] == f"evaluate: part 1 of {count} (quality)"
    assert re.fullmatch(rf"evaluate: part {count} of {count} \(promotion; .* left\)", parts[-1])
    assert len(parts) == count
    robustness_lines = [line for line in lines if line.startswith("robustness ")]
    assert re.fullmatch(
        r"robustness 4 of 12 \(rotation; [\d.,]+( s each|/s), about \d+ seconds left\)", robustness_lines[3]
    )
    assert {path.name: path.read_bytes() for path in (*reports.iterdir(), PATHS.ood_detector)} == first


@pytest.mark.slow
def test_outliers_given_by_the_user_are_detected(reports: Path) -> None:
    ood_params = PARAMS.out_of_distribution.model_copy(update={"outliers": "outliers.npy"})
    np.save("outliers.npy", np.tile(np.array([0, 255], np.uint8), (30, 4, 2)).reshape(30, 4, 4, 1))
    run(PARAMS.model_copy(update={"out_of_distribution": ood_params}))
    details = json.loads((PATHS.reports / "details.json").read_text())
    assert 0.5 < details["auroc_outliers"] <= 1.0


@pytest.mark.parametrize(
    ("outliers", "message"),
    [
        ("nowhere", "no such folder; must be a folder of files, or an .npy file"),
        ("other.npy", r"must contain images of shape \[4, 4, 1\], got shape \[3, 5, 5, 1\]"),
        ("empty", "must contain readable files, got none"),
    ],
)
def test_unusable_outliers_are_reported(reports: Path, outliers: str, message: str) -> None:
    Path("empty").mkdir()
    Path("empty/note.txt").write_text("no image")
    np.save("other.npy", np.zeros((3, 5, 5, 1), np.uint8))
    ood_params = PARAMS.out_of_distribution.model_copy(update={"outliers": outliers})
    with pytest.raises(UserError, match=message):
        run(PARAMS.model_copy(update={"out_of_distribution": ood_params}))


def test_a_network_for_other_images_is_refused_and_nothing_is_written(reports: Path) -> None:
    other = Architecture(input_shape=(2, 2, 1), classes=3, blocks=(), head=Head())
    save_model(build(other, (0.0,), (1.0,)), PATHS.model, ("a", "b", "c"))
    with pytest.raises(UserError, match=r"model\.keras: must have input shape \[4, 4, 1\] and 2 outputs"):
        run()
    assert json.loads((reports / "metrics.json").read_text())["accuracy"] == 38 / 40  # the earlier report stays


def test_mistakes_are_listed_with_their_files_and_the_weakest_class_is_named(
    reports: Path, evaluated: tuple[Path, str]
) -> None:
    with (reports / "mistakes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["no."], row["image"], row["actual"], row["predicted"]) for row in rows} == {
        ("3", "photos/3.png", "bright", "dark"),
        ("25", "photos/25.png", "dark", "bright"),
    }
    assert [float(row["probability"]) for row in rows] == sorted(float(row["probability"]) for row in rows)[::-1]
    assert "photos/25.png" in (reports / evaluate.PAGE).read_text()
    sentence = "The weakest class is dark: recall 0.9500 (95% interval 0.7639 to 0.9911, n = 20), most often "
    assert f"{sentence}misclassified as bright (1).\n" in evaluated[1]


def test_a_network_for_other_classes_is_refused(reports: Path) -> None:
    save_model(build(ARCHITECTURE, (127.5,), (100.0,)), PATHS.model, ("dark", "light"))
    with pytest.raises(
        UserError, match=r"model\.keras: must have the classes of the data, got 'light' instead of 'bri"
    ):
        run()


@pytest.mark.slow
def test_the_page_starts_with_whether_the_network_passes_the_gate(
    reports: Path, capsys: pytest.CaptureFixture[str], evaluated: tuple[Path, str]
) -> None:
    first = (PATHS.logs / evaluate.PAGE).read_text()
    assert (
        '<p class="verdict">The network would become champion: there is no current champion. Test accuracy 0.9500'
        in first
    )
    assert "latency_ms &lt; 1e4" in first
    paths = register.Paths(PATHS.model, PATHS.ood_detector, reports, PATHS.prepared)
    register.run(REGISTERING, paths)
    run()
    assert (
        "The network remains champion: it is already the champion and still satisfies the gate."
        in (PATHS.logs / evaluate.PAGE).read_text()
    )
    model = build(ARCHITECTURE, (127.5,), (100.0,))
    model.get_layer("scores").set_weights([np.zeros((16, 2)), np.array([1.0, 0.0])])  # predicts dark for every image
    save_model(model, PATHS.model, CLASSES)
    capsys.readouterr()
    run()
    printed = capsys.readouterr().out
    page = (PATHS.logs / evaluate.PAGE).read_text()
    assert "The network would not become champion: it violates accuracy >= 0.9 (value 0.5)." in printed
    for sentence in (
        "The network would not become champion: it violates ",
        "0.4500 lower than that of the champion (p = ",
    ):
        assert sentence in printed
        assert sentence in page
    assert "champion, version 1" in page
    today = json.loads((PATHS.logs / "current_metrics.json").read_text())
    assert today["champion_difference"] == pytest.approx(20 / 40 - 38 / 40)
    assert today["champion_p_value"] < 0.001
    assert (
        "champion" not in (reports / evaluate.PAGE).read_text().split("<footer>")[0]
    )  # the page depends on the inputs alone


@pytest.mark.slow
def test_if_the_champion_cannot_be_fetched_only_its_section_is_missing(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_registry("fovea", Path(".")) as registry:
        client = registry.server.client
        client.create_registered_model("fovea")
        tags = {"lineage": lineage(read_dataset(PATHS.prepared / "dataset.json"))}
        client.create_model_version("fovea", (Path("gone")).absolute().as_uri(), tags=tags)
        client.set_registered_model_alias("fovea", "champion", "1")
    run()
    printed = capsys.readouterr()
    assert "the page does not state whether the network would become champion: " in printed.out
    assert "latency, one image" in (PATHS.logs / evaluate.PAGE).read_text()
    assert ">Gate<" not in (PATHS.logs / evaluate.PAGE).read_text()


def test_a_network_other_than_the_evaluated_one_is_not_registered(reports: Path) -> None:
    write_network(PATHS.model, 0.4)
    with pytest.raises(UserError, match=r"model\.keras: must be the network of the evaluation"):
        register.run(REGISTERING, register.Paths(PATHS.model, PATHS.ood_detector, reports, PATHS.prepared))


def test_the_training_split_is_refused_as_test_split(reports: Path) -> None:
    shutil.rmtree(PATHS.prepared / "test")
    shutil.copytree(PATHS.prepared / "train", PATHS.prepared / "test")
    with pytest.raises(UserError, match="must contain the test split, got the train split"):
        run()
