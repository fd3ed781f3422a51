"""params.yaml: which values are accepted or refused, and the error messages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.params import schema
from pipeline.params_file import RENAMED as KEYS
from pipeline.params_file import ParamsError, validate
from pipeline.sections import Params
from pipeline.sections.load import load_params

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = (ROOT / "params.yaml").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def refused(tmp_path: Path, old: str, new: str) -> str:
    """The error message for params.yaml with one part replaced, without the file's name."""
    assert old in COMMITTED
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.replace(old, new, 1))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return "\n".join(line.removeprefix(f"{path}: ") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  batch_size: 64 ", "  batchsize: 64 ", "training.batchsize: unknown key; did you mean batch_size?"),
        ("  timeout_hours: ", "  hours: ", "search.hours: renamed; write search.timeout_hours"),
        (
            "  out_of_distribution:\n",
            "  unfamiliar:\n",
            "evaluate.unfamiliar: renamed; write evaluate.out_of_distribution; "
            "evaluate.unfamiliar.false_alarms is now evaluate.out_of_distribution.false_positive_rate",
        ),
        (
            "    false_positive_rate: ",
            "    false_alarms: ",
            "evaluate.out_of_distribution.false_alarms: renamed; "
            "write evaluate.out_of_distribution.false_positive_rate",
        ),
        ("  epochs: 40 ", "  epoch: 40 ", "training.epoch: unknown key; did you mean epochs?"),
        ("    filters:\n", "    filtres:\n", "search.space.filtres: unknown key; did you mean filters?"),
        ("    kind: flatten ", "    kidn: flatten ", "model.head.kidn: unknown key; did you mean kind?"),
        ("  - filters: 16", "  - filter: 16", "model.blocks.0.filter: unknown key; did you mean filters?"),
        ("seed: 1 ", "sead: 1 ", "sead: unknown key; did you mean seed?"),
        ("seed: 1 ", "seed: 1\nqqqq: 2 ", "qqqq: unknown key; known keys: seed, data, model"),
        ("  patience: 12 ", "  # patience ", "training.patience: missing; this key is required"),
        ("rate: 0.003", 'rate: "1e-3"', "training.learning_rate: input should be a valid number, got '1e-3'; write"),
        ("  gpus: 1 ", "  gpus: 3 ", "training: gpus must divide batch_size, got gpus: 3, batch_size: 64"),
        ("  epochs: 40 ", "  epochs: 40.5 ", "got 40.5; write an integer"),
        ("  epochs: 40 ", "  epochs: yes ", "training.epochs: input should be a valid integer, got 'yes'"),
        ("  epochs: 40 ", "  epochs: true ", "training.epochs: input should be a valid integer, got True"),
        ("  epochs: 40 ", "  epochs: 0 ", "training.epochs: input should be greater than or equal to 1, got 0"),
        ("  epochs: 40 ", "  epochs: ", "training.epochs: input should be a valid integer, got null"),
        ("rate: 0.003", "rate: -0.1", "training.learning_rate: input should be greater than 0, got -0.1"),
        ("rate: 0.003", "rate: .nan", "training.learning_rate: input should be a finite number, got nan"),
        ("rate: 0.003", "rate: .inf", "training.learning_rate: input should be a finite number, got inf"),
        ("    residual:\n    - false\n    - true", "    residual: yes", "search.space.residual"),
        ("optimizer: adam ", "optimizer: adma ", "training.optimizer: input should be 'sgd', 'adam' or 'adamw'"),
        (
            "{low: 1, high: 3}",
            "{low: 3, high: 1}",
            "search.space.blocks: low must not be above high, got low: 3, high: 1",
        ),
        ("step: 0.1}", "step: 0.1, log: true}", "search.space.dropout: step and log"),
        ("low: 0.0005, high: 0.01", "low: 0, high: 0.01", "search.space.learning_rate"),
        ("    - relu\n    - gelu\n    - silu", "      []", "search.space.activation"),
        ("    - gelu\n", "    - rleu\n", "'rleu'"),
        ("    - 16\n    - 32\n", "    - 16\n    - 16\n", "search.space.filters"),
        ("source: digits ", "source: digit ", "data.source: must be digits, xo, idx:FOLDER"),
        ("source: digits ", "source: keras:mnst ", "data.source: must be digits"),
        ("  image_size: ", "  image_size: [20000, 32] ", "image_size.0: input should be less than or equal to 8192"),
        ("val_fraction: 0.25", "val_fraction: 0.85", "val_fraction + test_fraction must be below 1, got 1.05"),
        ("  min_epochs: 1 ", "  min_epochs: 99 ", "search: min_epochs must not exceed epochs, got min_epochs: 99"),
        ("sqlite:///studies/optuna.db", "studies.db", "search.storage: must be a database URL"),
        ("sqlite:///studies/optuna.db", "postgresql://me:secret@host/db", "got 'postgresql://***@host/db'; put the"),
        (
            "sqlite:///studies/optuna.db",
            "postgresql://host/db?password=x",
            "search.storage: must not contain a password",
        ),
        (
            "  - val_accuracy\n",
            "  - params\n",
            "search.objectives: the first objective must be one of val_accuracy, val_loss",
        ),
        ("  - val_accuracy\n", "  - val_loss\n  - val_loss\n", "search.objectives: must not contain duplicates"),
        ("  - val_accuracy\n", "  - val_loss\n  - speed\n", "search.objectives.1: input should be 'val_accuracy'"),
        ("sampler: tpe ", "sampler: bayes ", "search.sampler: input should be 'tpe', 'random', 'gp'"),
        ("pruner: hyperband ", "pruner: asha ", "search.pruner: input should be 'hyperband', 'successive_halving'"),
        (
            "  engine: processes ",
            "  engine: inline ",
            "search: workers must be 1 with engine: inline, got 2; use engine: processes",
        ),
        ("    cpus: 1.0 ", "    cpus: 0.0 ", "search.ray.cpus: input should be greater than 0"),
        ("fidelity: epochs ", "fidelity: images ", "search.fidelity: input should be 'epochs', 'data' or 'both'"),
        ("  gate: [] ", "  gate: [accuracy > high] ", "register.gate: must be METRIC"),
        (
            "  gate: [] ",
            "  gate: [false_alarms < 0.1] ",
            "register.gate: false_alarms was renamed to ood_false_positive_rate",
        ),
        (
            "  gate: [] ",
            "  gate: [acuracy >= 0.9] ",
            "register.gate: the metric of a rule must be one of accuracy, accuracy_low",
        ),
        ("sqlite:///studies/optuna.db", '"sqlite:///:memory:"', "search.storage: must be stored in a file"),
        ("name: fovea ", "name: ../x ", "register.name: "),
        (
            "confidence_level: 0.95",
            "confidence_level: 95",
            "evaluate.confidence_level: input should be less than 1, got 95",
        ),
        ("seed: 1 ", "seed: 2026-11-21 ", "quote dates"),
        ("seed: 1 ", "seed: 1\nseed: 2 ", 'line 5, column 1: found duplicate key "seed"'),
        ("seed: 1 ", "seed: [1 ", "not valid YAML"),
        ("seed: 1 ", "seed: 1\na: &x [*x]", "an alias must not be part of its own anchor"),
        ("seed: 1 ", "seed: \x01", "not valid YAML: unacceptable character"),
        ("seed: 1 ", "seed: 2001-99-99", "not valid YAML: month must be in 1..12"),
        ("seed: 1 ", "seed: !!bool maybe", "line 4: must not contain tags; write plain values"),
        ("seed: 1 ", f"seed: {'9' * 5000}", "not valid YAML: Exceeds the limit"),
        ("seed: 1 ", f"seed: 0x{'f' * 5000}", "cannot be converted to plain values: Exceeds the limit"),
        ("seed: 1 ", f"seed: {'[' * 2000}", "lists or mappings are nested too deeply"),
        ("{low: 1, high: 3}", "{low: 1, hihg: 3}", "search.space.blocks.hihg: unknown key; did you mean high?"),
        ("{low: 1, high: 3}", "{chioces: [1, 3]}", "search.space.blocks.chioces: unknown key; did you mean choices?"),
        (
            "  mistakes: 25 ",
            "  mistakes: 101 ",
            "evaluate.mistakes: input should be less than or equal to 100, got 101",
        ),
        ("  calibration_bins: 15 ", "  calibration_bins: 101 ", "evaluate.calibration_bins: input should be less than"),
    ],
)
def test_a_violation_is_reported_with_key_rule_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refused(tmp_path, old, new)


def test_a_renamed_key_is_not_also_reported_as_missing(tmp_path: Path) -> None:
    """An old file gets one line for each renamed key."""
    path = tmp_path / "params.yaml"
    text = COMMITTED
    for old, new in KEYS.items():
        text = re.sub(rf"^( +){new.rsplit('.')[-1]}:", rf"\1{old.rsplit('.')[-1]}:", text, flags=re.MULTILINE)
    path.write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    lines = str(caught.value).splitlines()
    assert all("renamed; write " in line for line in lines)
    assert len(lines) == len({old for old in KEYS if old.count(".") == 1})


def test_a_password_is_not_printed(tmp_path: Path) -> None:
    for address in ("postgresql://me:sesame@host/db", "postgresql:/me:sesame@host/db"):
        assert "sesame" not in refused(tmp_path, "sqlite:///studies/optuna.db", address)


def test_a_sampler_for_one_objective_is_refused_for_several(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(
        text.replace("  - val_accuracy\n", "  - val_accuracy\n  - macs\n").replace("sampler: tpe ", "sampler: cmaes ")
    )
    with pytest.raises(
        ParamsError, match=r"search: sampler: cmaes supports only one objective, got .*; use one of tpe"
    ):
        load_params(path)


def test_all_violations_are_reported_at_once(tmp_path: Path) -> None:
    printed = refused(tmp_path, "  epochs: 40 ", "  epochs: 0\n  epoks: 3 ").splitlines()
    assert len(printed) == 2
    assert {line.split(":")[0] for line in printed} == {"training.epochs", "training.epoks"}


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"text", b"\xff\xfe\x00"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="must be a YAML file, got a folder"):
        load_params(tmp_path)


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.replace("rate: 0.003", "rate: 3e-3", 1).replace("epochs: 40 ", "epochs: 010 ", 1))
    training = load_params(path).training
    assert (training.learning_rate, training.epochs) == (0.003, 10)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_complete_and_valid(path: Path) -> None:
    assert load_params(path).search.trials >= 1


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_params(ROOT / "params.yaml").training.epochs = 3  # type: ignore[misc]


def test_the_committed_schema_is_up_to_date() -> None:
    assert (ROOT / "params.schema.json").read_text() == schema()


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *EXAMPLES], ids=lambda path: path.stem)
def test_params_files_refer_editors_to_the_schema(path: Path) -> None:
    target = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / target).resolve() == ROOT / "params.schema.json"


def test_every_key_has_a_comment() -> None:
    lines = [line for line in COMMITTED.splitlines() if line.strip() and not line.startswith("#")]
    in_blocks = COMMITTED[COMMITTED.index("  blocks:") : COMMITTED.index("  head:")].splitlines()[1:]
    bare = [line for line in lines if "#" not in line and not line.endswith(":") and not line.strip().startswith("- ")]
    in_space = COMMITTED[COMMITTED.index("  space:") : COMMITTED.index("evaluate:")].splitlines()
    assert [line for line in bare if line not in (*in_blocks, *in_space)] == []


def test_params_survive_a_round_trip_through_json() -> None:
    params = load_params(ROOT / "params.yaml")
    assert validate(Params, json.loads(params.model_dump_json(by_alias=True)), "x") == params


def test_the_command_reports_errors_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(COMMITTED.replace("  epochs: 40 ", "  epoch: 40 ", 1))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "params", tmp_path / "params.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "did you mean epochs?" in done.stderr
