"""The stage `register`: the evaluated network becomes a version of the registered model, champion or challenger."""

import argparse
import json
import operator
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest
from pipeline.params import RegisterParams, load_params
from pipeline.terminal import UserError, held_back_stderr, run_main, say

if TYPE_CHECKING:
    import keras

    from pipeline.data.dataset import Dataset
    from pipeline.data.split import Split
    from pipeline.tracking.registry import Alias, Registry, Version

_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_BATCH = 256
_TEXT_LIMIT = 5000  # of a description or a tag in MLflow
_DECISION = "fovea.decision"  # the tag that holds a version's decision, and what it follows from


@dataclass(frozen=True)
class Decision:
    """Which alias a network gets, and why."""

    alias: "Alias"
    reason: str
    champion_accuracy: float | None  # on the same test data; None: there was nothing to compare with


def run(
    params: RegisterParams,
    threads: int,
    model_path: Path,
    evaluation: Path,
    dataset_path: Path,
    prepared: Path,
    report: Path,
    root: Path = Path("."),
) -> None:
    """Register the network, or decide anew about the version that it is already, and write the report.

    A version whose test data, gate and broken rules are those of its recorded decision is left as it is, and so are
    aliases that a person moved by hand.

    Args:
        params: Name and gate.
        threads: Processor threads; the last bits of an older champion's figures can follow from their number.
        model_path: The trained network.
        evaluation: Folder with metrics.json and run.json.
        dataset_path: dataset.json.
        prepared: Folder of the prepared splits; the test split judges an older champion again, and gives the example.
        report: Where the report goes; equal inputs give equal bytes, whatever the registry holds.
        root: The repository's root.

    Raises:
        UserError: MLflow is away, a file is missing, or a rule of the gate names no metric.
    """
    metrics = read_metrics(evaluation / "metrics.json")
    broken = broken_rules(params.gate, metrics)

    from pipeline.cnn.runtime import configure, start_backend

    start_backend()
    configure(threads)
    from pipeline.cnn.keras_file import load_model, model_digest
    from pipeline.data.dataset import read_dataset
    from pipeline.data.split import read_split
    from pipeline.tracking.record import read_record
    from pipeline.tracking.registry import open_registry, run_of_training

    dataset = read_dataset(dataset_path)
    record = read_record(evaluation / "run.json")
    test = read_split(prepared / "test", "test")
    model = load_model(model_path)
    identity = {"model_digest": model_digest(model), "lineage": lineage(dataset)}
    basis = {"test_digest": test.digest, "gate": list(params.gate), "broken_rules": broken}
    with open_registry(params.name, root) as registry:
        version, champion = registry.find(**identity), registry.champion()
        if version is not None and _is_decided(version, basis):
            serving = f"the champion is version {champion.number}" if champion else "there is no champion"
            say(f"{params.name} version {version.number} is this network already; nothing to register; {serving}")
        else:
            decision = decide(registry, champion, version, metrics["accuracy"], broken, dataset, test)
            tags = _tags(identity, metrics, dataset, test) | {_DECISION: _decided(basis, decision, carried_out=False)}
            description = describe(model, metrics, dataset, decision)
            done = "decided anew:" if version else "registered"
            if version is None:
                run_id = run_of_training(registry, record, root)
                with held_back_stderr():  # MLflow tries the example, with words of TensorFlow's
                    version = registry.add(model, run_id, test.images[:2], dataset.classes, tags, description)
            else:
                registry.tag(version, _DECISION, tags[_DECISION])  # first, so that a killed update is made again
                registry.update(version, tags, description)
            registry.assign(decision.alias, version)
            registry.tag(version, _DECISION, _decided(basis, decision, carried_out=True))
            say(f"{done} {params.name} version {version.number} as {decision.alias}: {decision.reason}")
            if decision.alias == "challenger" and registry.champion() is None:
                say(f"{params.name} has no champion now; models:/{params.name}@champion serves nothing until there is")
    content = _report(params, identity, test, metrics, broken)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_metrics(path: Path) -> dict[str, float]:
    """The evaluation's metrics.

    Raises:
        UserError: the file is missing, is no JSON, or lacks the accuracy.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        return {"accuracy": float(metrics["accuracy"])} | {name: float(value) for name, value in metrics.items()}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run dvc repro evaluate") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: must hold the evaluation's metrics, got {error!r}; run dvc repro evaluate") from None


def broken_rules(gate: tuple[str, ...], metrics: dict[str, float]) -> list[str]:
    """The rules of the gate that the metrics break, each with the value that breaks it.

    Raises:
        UserError: a rule names no metric of the evaluation.
    """
    broken = []
    for rule in gate:
        name, sign, limit = (part.strip() for part in re.split(r"(>=|<=|>|<)", rule))
        if name not in metrics:
            raise UserError(
                f"params.yaml: register.gate: {name!r} must be a metric of the evaluation, "
                f"got {rule!r}; known: {', '.join(metrics)}"
            )
        if not _COMPARISONS[sign](metrics[name], float(limit)):
            broken.append(f"{rule} (it is {metrics[name]:.6g})")
    return broken


def decide(
    registry: "Registry",
    champion: "Version | None",
    version: "Version | None",
    accuracy: float,
    broken: list[str],
    dataset: "Dataset",
    test: "Split",
) -> Decision:
    """Compare a network with the present champion on the same test data, which may mean to judge that one again.

    A champion that breaks the gate loses its alias if it is this very network; another one stays, since a gate
    judges the network that is registered.

    Args:
        registry: Where the champion is loaded from, if it must be judged again.
        champion: The version that serves; None before there is one.
        version: The version that the network is already; None if it is new.
        accuracy: Of the network on the test split.
        broken: Rules of the gate that the network breaks.
        dataset: What the network was trained on.
        test: The test split.
    """
    gate = f"the gate does not hold: {', '.join(broken)}"
    if champion is not None and version is not None and champion.number == version.number:
        if broken:
            return Decision("challenger", f"champion no more, since {gate}", None)
        return Decision("champion", "the champion already, and it obeys the gate", None)
    if champion is None:
        other, first = None, "there was no champion" if registry.versions() else "the first champion"
    elif champion.tags.get("lineage") != lineage(dataset):
        other, first = None, "a new lineage: the champion before it has other classes or another input shape"
    else:
        other, first = champion_accuracy(registry, champion, test), ""
    if broken:
        return Decision("challenger", gate, other)
    if other is None:
        return Decision("champion", first, None)
    compared = f"{accuracy:.6g} against the champion's {other:.6g} on the same test data"
    return Decision("champion" if accuracy > other else "challenger", f"accuracy {compared}", other)


def lineage(dataset: "Dataset") -> str:
    """Names what networks must share to be compared: names of classes, in their order, and input shape."""
    return digest(list(dataset.classes), list(dataset.input_shape))


def champion_accuracy(registry: "Registry", champion: "Version", test: "Split") -> float:
    """The champion's accuracy on a test split: as registered, or evaluated now and kept if the data changed."""
    known = champion.tags.get(_accuracy_tag(test))
    if known is not None:
        return float(known)
    from pipeline.cnn.inference import predict_probabilities

    probabilities = predict_probabilities(registry.load(champion), test.images, _BATCH)
    accuracy = float((probabilities.argmax(axis=1) == test.labels).mean())
    say(f"the test data changed: champion version {champion.number} reaches {accuracy:.6g} on the new data")
    registry.tag(champion, _accuracy_tag(test), repr(accuracy))
    return accuracy


def describe(model: "keras.Model", metrics: dict[str, float], dataset: "Dataset", decision: Decision) -> str:
    """The version's description, in Markdown."""
    interval = ""
    if "accuracy_low" in metrics and "accuracy_high" in metrics:
        interval = f" ({metrics['accuracy_low']:.4f} to {metrics['accuracy_high']:.4f})"
    layers = "\n".join(
        f"| {layer.name} | {type(layer).__name__} | {_extent(layer)} | {layer.count_params():,} |"
        for layer in model.layers
    )
    text = (
        f"Test accuracy **{metrics['accuracy']:.4f}**{interval} on {dataset.name}; "
        f"registered as {decision.alias}: {decision.reason}.\n\n"
        f"Takes raw pixels {tuple(dataset.input_shape)}, {dataset.dtype}; gives a probability for each of "
        f"{len(dataset.classes)} classes: {', '.join(dataset.classes[:50])}.\n\n"
        f"{model.count_params():,} parameters:\n\n"
    )
    table = f"| layer | kind | output | parameters |\n|---|---|---|---|\n{layers}\n"
    return text + table if len(text + table) <= _TEXT_LIMIT else text[:_TEXT_LIMIT]


def _extent(layer: Any) -> str:
    shape = getattr(layer.output, "shape", ())
    return "×".join(str(extent) for extent in shape[1:])


def _accuracy_tag(test: "Split") -> str:
    return f"accuracy.{test.digest[:16]}"


def _decided(basis: dict[str, Any], decision: Decision, carried_out: bool) -> str:
    return json.dumps({**basis, **asdict(decision), "carried_out": carried_out})


def _is_decided(version: "Version", basis: dict[str, Any]) -> bool:
    """Whether the version's decision follows from the same, and was not killed before the alias was assigned."""
    recorded: dict[str, Any] = json.loads(version.tags.get(_DECISION, "{}"))
    return (basis | {"carried_out": True}).items() <= recorded.items()


def _report(
    params: RegisterParams, identity: dict[str, str], test: "Split", metrics: dict[str, float], broken: list[str]
) -> dict[str, Any]:
    """What follows from the stage's inputs alone; what follows from the registry's history stays there."""
    figures: dict[str, Any] = {
        name: metrics[name] for name in ("accuracy", "accuracy_low", "accuracy_high") if name in metrics
    }
    return {
        "name": params.name,
        **identity,
        "test_digest": test.digest,
        **figures,
        "gate": list(params.gate),
        "broken_rules": broken,
    }


def _tags(identity: dict[str, str], metrics: dict[str, float], dataset: "Dataset", test: "Split") -> dict[str, str]:
    return {
        **identity,
        "test_digest": test.digest,
        "accuracy": repr(metrics["accuracy"]),
        _accuracy_tag(test): repr(metrics["accuracy"]),
        "classes": ", ".join(dataset.classes)[:_TEXT_LIMIT],
    }


def main() -> None:
    """Register the network that params.yaml's pipeline trained and evaluated."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.register", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--model", type=Path, default=Path("models/model.keras"), help="default: %(default)s")
    parser.add_argument("--evaluation", type=Path, default=Path("reports/evaluate"), help="default: %(default)s")
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"), help="default: %(default)s")
    parser.add_argument("--report", type=Path, default=Path("reports/register.json"), help="default: %(default)s")
    given = parser.parse_args()
    params = load_params(given.params)
    dataset = given.prepared / "dataset.json"
    run(
        params.register_,
        params.training.threads,
        given.model,
        given.evaluation,
        dataset,
        given.prepared,
        given.report,
    )


if __name__ == "__main__":
    run_main(main)
