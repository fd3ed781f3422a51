"""The stage `register`: register the evaluated network as a model version with the alias champion or challenger."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.file_content import read_json
from pipeline.files import write_file
from pipeline.terminal.arguments import params_and_paths, stage_parser
from pipeline.terminal.console import buffered_stderr, run_main, say

if TYPE_CHECKING:
    from pipeline.data.split import Split
    from pipeline.inference.export import Exported
    from pipeline.promotion.promotion_check import PromotionCheck
    from pipeline.registry.versions import Registry, Version
    from pipeline.sections import Params, RegisterParams
    from pipeline.tracking.record import RunRecord


@dataclass(frozen=True)
class Paths:
    """Input and output paths of the stage.

    Attributes:
        model: The trained network.
        ood_detector: The out-of-distribution detector, which is served with the network.
        evaluation: Folder with metrics.json, details.json and run.json.
        prepared: Folder of dataset.json and the splits.
        request: The inputs of the decision. The content does not depend on the registry.
        exports: Folder of the network in other formats.
        report: The decision, which also depends on the contents of the registry.
        root: Root of the repository.
    """

    model: Path = Path("models/model.keras")
    ood_detector: Path = Path("models/ood_detector.npz")
    evaluation: Path = Path("reports/evaluate")
    prepared: Path = Path("data/prepared")
    request: Path = Path("models/registration.json")
    exports: Path = Path("models/exports")
    report: Path = Path("reports/register.json")
    root: Path = Path(".")


def run(params: "Params", paths: Paths = Paths()) -> None:
    """Register the network, or repeat the decision if it is already registered, and write the report.

    If the test data, the gate and the metrics are those of the recorded decision, the version stays unchanged, and so
    do aliases that were reassigned manually.

    Args:
        params: The section `register`; `evaluate`, which also applies to the champion; `training.threads`; and the seed
            of the corruptions.
        paths: Input and output paths.

    Raises:
        UserError: MLflow is not available, a file is missing, or a gate rule uses a metric that was not evaluated.
    """
    from pipeline.data.dataset import read_dataset
    from pipeline.data.split import read_split
    from pipeline.inference.classifier import lineage
    from pipeline.promotion.gate import asked_for, rules_for_every_network
    from pipeline.promotion.promotion_check import PromotionCheck, completed
    from pipeline.tracking.record import read_record, require_model_of

    settings, evaluate = params.register_, params.evaluate
    record = read_record(paths.evaluation / "run.json")
    metrics = read_metrics(paths.evaluation, record)
    dataset = read_dataset(paths.prepared / "dataset.json")
    test = read_split(paths.prepared / "test", "test")
    if record.tags.get("test_digest") != test.digest:
        raise UserError(
            f"{paths.evaluation}: must be an evaluation on the current test split; run `dvc repro evaluate`"
        )
    metrics = completed(metrics, test, evaluate.confidence_level)
    asked = asked_for(rules_for_every_network(settings.gate, metrics), metrics)

    from pipeline.backend.runtime import configure, start_backend

    start_backend(command="register")
    configure(params.training.threads)
    from pipeline.cnn.keras_file import load_model, model_digest
    from pipeline.evaluation.ood import read_ood_detector
    from pipeline.registry.decision_record import recorded_decision, was_interrupted
    from pipeline.registry.lock import only_registration
    from pipeline.registry.split_usage import add_evaluation, count_usage
    from pipeline.registry.versions import open_registry

    require_model_of(record, paths.model)
    say(f"loading {paths.model}")
    model = load_model(paths.model)
    identity = {"model_digest": model_digest(model), "lineage": lineage(dataset)}
    if {read_ood_detector(paths.ood_detector).network, record.tags.get("model_digest")} != {identity["model_digest"]}:
        raise UserError(f"{paths.model}: must be the evaluated network, got a different one; run dvc repro")
    basis = {
        "test_digest": test.digest,
        "gate": list(settings.gate),
        "promote_if": settings.promote_if,
        "alpha": settings.alpha,
        "margin": settings.margin,
        "confidence_level": evaluate.confidence_level,
        "metrics": asked,
    }
    exported = _export(settings, evaluate.batch_size, model, test, paths.exports)
    with open_registry(settings.name, paths.root) as registry, only_registration(registry.server, settings.name):
        version = registry.find(**identity)
        if version is not None and was_interrupted(version):
            version = registry.only(version)  # perhaps before it saw the version of another machine
        decided = None if version is None else recorded_decision(version, basis)
        if version is not None and decided is not None:
            champion = registry.champion()
            serving = f"the champion is version {champion.number}" if champion else "there is no champion"
            say(f"already registered as {settings.name} version {version.number}; nothing to do; {serving}")
        else:
            check = PromotionCheck(settings, evaluate, params.seed, model, dataset, test, metrics)
            version, decided = _register(registry, check, version, identity, basis, record, paths)
        add_evaluation(paths.root, test.digest, identity["model_digest"])  # the evaluation may be from DVC's run cache
        usage = count_usage(registry, paths.root, test.digest, identity["model_digest"])
        say(usage.sentence(metrics["accuracy"], len(test.labels)))
        registry.attach(version, [each.path for each in exported], "exports")
    differences = {each.format: each.largest_difference for each in exported}
    _write(paths.request, {"name": settings.name, **identity, **basis})
    _write(
        paths.report,
        {
            "name": settings.name,
            "version": version.number,
            **identity,
            **decided,
            "test_split": {"networks": usage.networks, "decisions": usage.decisions},
            "exports": differences,
        },
    )


def _export(params: "RegisterParams", batch_size: int, model: Any, test: "Split", folder: Path) -> "list[Exported]":
    """Export the network to the requested formats, and compare their predictions with those of Keras."""
    shutil.rmtree(folder, ignore_errors=True)
    if not params.exports:
        return []
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.inference.export import export

    probabilities = predict_probabilities(model, test.images, batch_size)
    say(f"exporting to {', '.join(params.exports)} and comparing with Keras on the test split")
    exported = export(model, params.exports, folder, test.images, probabilities)
    for each in exported:
        say(
            f"{each.path}: probabilities differ from Keras by at most {each.largest_difference:.2g} on "
            f"{len(test.labels):,} test samples"
        )
    return exported


def read_metrics(evaluation: Path, record: "RunRecord") -> dict[str, float]:
    """Read the metrics of the evaluation from metrics.json and details.json.

    Args:
        evaluation: Folder of the two files.
        record: Record of the evaluation, which contains the metrics as well.

    Raises:
        UserError: A file is missing, is not JSON, has no accuracy, or has changed since the evaluation.
    """
    found: dict[str, float | None] = {}
    for name in ("metrics.json", "details.json"):
        found |= read_json(
            evaluation / name, "a file of evaluation metrics", "run `dvc repro evaluate`", dict[str, float | None]
        )
    known = {name: value for name, value in found.items() if value is not None}
    if "accuracy" not in known:
        raise UserError(f"{evaluation / 'metrics.json'}: must contain the accuracy; run `dvc repro evaluate`")
    logged = {name.removeprefix("test_"): value for name, _, value in record.metrics}
    if changed := sorted(name for name in known | logged if repr(known.get(name)) != repr(logged.get(name))):
        name = changed[0]
        raise UserError(
            f"{evaluation}: the metrics must be those of the evaluation, got {name} {known.get(name)} instead of "
            f"{logged.get(name)}; run `dvc repro --force evaluate`"
        )
    return known


def _register(
    registry: "Registry",
    check: "PromotionCheck",
    version: "Version | None",
    identity: dict[str, str],
    basis: dict[str, Any],
    record: Any,
    paths: Paths,
) -> tuple["Version", dict[str, Any]]:
    """Make the decision, create or update the version, and assign its alias.

    Args:
        registry: The registered model.
        check: The promotion check of the network.
        version: The version of the network; None: it is not registered yet.
        identity: Tags that identify the network.
        basis: Inputs of the decision.
        record: Record of the run of the evaluation.
        paths: Input and output paths.

    Returns:
        The version, and the decision with its inputs.
    """
    from pipeline.promotion.version_description import describe
    from pipeline.registry.champion_history import demote, promote
    from pipeline.registry.decision_record import DECISION, decision_number, decision_text
    from pipeline.registry.split_usage import add_decision
    from pipeline.tracking.sync import run_of_training

    decision = check.decide(registry, version)
    number = decision_number(registry, version, basis, paths.root)
    content = {**basis, **asdict(decision)}
    tags = _tags(identity, check) | {DECISION: decision_text(content, number, carried_out=False)}
    description = describe(check.model, check.metrics, check.dataset, decision)
    updated = version is not None
    if version is None:
        say(f"registering a new version of {registry.name} in MLflow")
        run_id = run_of_training(registry.server, record, paths.root)
        with buffered_stderr():  # MLflow runs the input example, and TensorFlow prints to stderr
            version = registry.add(
                paths.model,
                paths.ood_detector,
                run_id,
                check.test.images[:2],
                check.dataset.classes,
                tags,
                description,
            )
        if version.tags.get(DECISION) != tags[DECISION]:  # another machine has registered the network since
            return _register(registry, check, version, identity, basis, record, paths)
    else:
        registry.tag(version, DECISION, tags[DECISION])  # first, so that the next run repeats a killed update
        registry.update(version, tags, description)
    if decision.alias == "champion":
        promote(registry, version, decision.reason)
    else:
        demote(registry, version, decision.reason)
        registry.assign("challenger", version)
    add_decision(registry, paths.root, check.test.digest, number)
    registry.tag(version, DECISION, decision_text(content, number, carried_out=True))
    named = f"{registry.name} version {version.number}"
    done = f"decision updated: {named} is now" if updated else f"registered {named} as"
    say(f"{done} {decision.alias}: {decision.reason}")
    for verdict in decision.verdicts:
        say(f"  {'passed' if verdict.holds else 'failed'}  {verdict.sentence}")
    if decision.alias == "challenger" and registry.champion() is None:
        say(f"{registry.name} has no champion now; models:/{registry.name}@champion is not available until it has one")
    return version, content


def _tags(identity: dict[str, str], check: "PromotionCheck") -> dict[str, str]:
    from pipeline.promotion.version_description import TEXT_LIMIT

    return {
        **identity,
        "test_digest": check.test.digest,
        "accuracy": repr(check.metrics["accuracy"]),
        "classes": ", ".join(check.dataset.classes)[:TEXT_LIMIT],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=2) + "\n")


def main(prog: str = "python -m pipeline.register") -> None:
    """Run the stage with the params file and the paths given on the command line."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
