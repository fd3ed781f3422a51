"""The stage `register`: the evaluated network becomes a version of the registered model, champion or challenger."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.arguments import params_and_paths, stage_parser
from pipeline.console import held_back_stderr, run_main, say
from pipeline.errors import UserError
from pipeline.files import write_file

if TYPE_CHECKING:
    from pipeline.data.split import Split
    from pipeline.inference.export import Exported
    from pipeline.params import Params, RegisterParams
    from pipeline.promotion.promotion_check import PromotionCheck
    from pipeline.registry.versions import Registry, Version

_DECISION = "fovea.decision"  # the tag that holds a version's decision, and what it follows from


@dataclass(frozen=True)
class Paths:
    """Where the stage reads and writes.

    Attributes:
        model: the trained network.
        ood_detector: The out-of-distribution detector, which is served with the network.
        evaluation: folder with metrics.json, details.json and run.json.
        prepared: folder of dataset.json and the splits.
        request: what was asked for; equal inputs give equal bytes, whatever the registry holds.
        exports: folder of the network in other formats.
        report: what was decided; it follows from the registry's history, too.
        root: the repository's root.
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
    """Register the network, or decide again about the version that it already is, and write the report.

    A version whose test data, gate and figures are those of its recorded decision is left as it is, and so are
    aliases that a person moved by hand.

    Args:
        params: the sections `register` and `evaluate`, by which the champion is evaluated, too; threads of `training`;
            and the seed of the corruptions.
        paths: where everything is.

    Raises:
        UserError: MLflow is away, a file is missing, or a rule of the gate names a figure that the evaluation lacks.
    """
    from pipeline.data.dataset import read_dataset
    from pipeline.data.split import read_split
    from pipeline.inference.classifier import lineage
    from pipeline.params.gate import rules_for_every_network
    from pipeline.promotion.gate import asked_for
    from pipeline.promotion.promotion_check import PromotionCheck, completed

    settings, evaluate = params.register_, params.evaluate
    figures = read_metrics(paths.evaluation)
    dataset = read_dataset(paths.prepared / "dataset.json")
    test = read_split(paths.prepared / "test", "test")
    figures = completed(figures, test, evaluate.confidence_level)
    asked = asked_for(rules_for_every_network(settings.gate), figures)

    from pipeline.backend.runtime import configure, start_backend

    start_backend(command="register")
    configure(params.training.threads)
    from pipeline.cnn.keras_file import load_model, model_digest
    from pipeline.evaluation.ood import read_ood_detector
    from pipeline.registry.lock import only_registration
    from pipeline.registry.split_usage import add_decision, add_evaluation, count_usage
    from pipeline.registry.versions import open_registry
    from pipeline.tracking.record import read_record

    record = read_record(paths.evaluation / "run.json")
    say(f"loading the network, {paths.model}")
    model = load_model(paths.model)
    identity = {"model_digest": model_digest(model), "lineage": lineage(dataset)}
    if {read_ood_detector(paths.ood_detector).network, record.tags.get("model_digest")} != {identity["model_digest"]}:
        raise UserError(f"{paths.model}: must be the network that was evaluated, but is another one; run dvc repro")
    basis = {
        "test_digest": test.digest,
        "gate": list(settings.gate),
        "promote_if": settings.promote_if,
        "alpha": settings.alpha,
        "margin": settings.margin,
        "confidence_level": evaluate.confidence_level,
        "figures": asked,
    }
    exported = _export(settings, evaluate.batch_size, model, test, paths.exports)
    with open_registry(settings.name, paths.root) as registry, only_registration(registry.server, settings.name):
        version = registry.find(**identity)
        decided = None if version is None else _recorded(version, basis)
        if version is not None and decided is not None:
            champion = registry.champion()
            serving = f"the champion is version {champion.number}" if champion else "there is no champion"
            say(f"{settings.name} version {version.number} is this network already; nothing to register; {serving}")
        else:
            check = PromotionCheck(settings, evaluate, params.seed, model, dataset, test, figures)
            version, decided = _register(registry, check, version, identity, basis, record, paths)
            add_decision(registry, paths.root, test.digest)
        add_evaluation(paths.root, test.digest, identity["model_digest"])  # the evaluation may be out of DVC's cache
        usage = count_usage(registry, paths.root, test.digest, identity["model_digest"])
        say(usage.sentence(figures["accuracy"], len(test.labels)))
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
    """Write the network in the formats that were asked for, and tell how far each is from Keras."""
    shutil.rmtree(folder, ignore_errors=True)
    if not params.exports:
        return []
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.inference.export import export

    probabilities = predict_probabilities(model, test.images, batch_size)
    say(f"exporting to {', '.join(params.exports)}, and comparing with Keras on the test split")
    exported = export(model, params.exports, folder, test.images, probabilities)
    for each in exported:
        say(
            f"{each.path}: no probability differs by more than {each.largest_difference:.2g} from Keras's, over "
            f"{len(test.labels):,} test images"
        )
    return exported


def read_metrics(evaluation: Path) -> dict[str, float]:
    """The evaluation's figures, those that stand in details.json among them.

    Raises:
        UserError: a file is missing, is no JSON, or lacks the accuracy.
    """
    path = evaluation / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        path = evaluation / "details.json"
        metrics |= json.loads(path.read_text(encoding="utf-8"))
        known = {name: float(value) for name, value in metrics.items() if value is not None}
        return {"accuracy": float(metrics["accuracy"])} | known
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run dvc repro evaluate") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: must hold the evaluation's metrics, got {error!r}; run dvc repro evaluate") from None


def _register(
    registry: "Registry",
    check: "PromotionCheck",
    version: "Version | None",
    identity: dict[str, str],
    basis: dict[str, Any],
    record: Any,
    paths: Paths,
) -> tuple["Version", dict[str, Any]]:
    """Decide, make the version or bring it up to date, and give it its alias; the version and the decision."""
    from pipeline.promotion.version_description import describe
    from pipeline.registry.champion_history import demote, promote
    from pipeline.registry.versions import run_of_training

    decision = check.decide(registry, version)
    content = {**basis, **asdict(decision)}
    tags = _tags(identity, check) | {_DECISION: _text(content, carried_out=False)}
    description = describe(check.model, check.figures, check.dataset, decision)
    done = "decided anew:" if version else "registered"
    if version is None:
        say(f"writing a version of {registry.name} to MLflow")
        run_id = run_of_training(registry, record, paths.root)
        with held_back_stderr():  # MLflow tries the example, with words of TensorFlow's
            version = registry.add(
                paths.model,
                paths.ood_detector,
                run_id,
                check.test.images[:2],
                check.dataset.classes,
                tags,
                description,
            )
    else:
        registry.tag(version, _DECISION, tags[_DECISION])  # first, so that a killed update is made again
        registry.update(version, tags, description)
    if decision.alias == "champion":
        promote(registry, version, decision.reason)
    else:
        demote(registry, version, decision.reason)
        registry.assign("challenger", version)
    registry.tag(version, _DECISION, _text(content, carried_out=True))
    say(f"{done} {registry.name} version {version.number} as {decision.alias}: {decision.reason}")
    for verdict in decision.verdicts:
        say(f"  {'holds ' if verdict.holds else 'broken'}  {verdict.sentence}")
    if decision.alias == "challenger" and registry.champion() is None:
        say(f"{registry.name} has no champion now; models:/{registry.name}@champion serves nothing until there is")
    return version, content


def _text(content: dict[str, Any], carried_out: bool) -> str:
    return json.dumps({**content, "carried_out": carried_out})


def _recorded(version: "Version", basis: dict[str, Any]) -> dict[str, Any] | None:
    """The version's decision, if it follows from the same and was not killed before the alias was assigned."""
    recorded: dict[str, Any] = json.loads(version.tags.get(_DECISION, "{}"))
    if not (basis | {"carried_out": True}).items() <= recorded.items():
        return None
    return {name: value for name, value in recorded.items() if name != "carried_out"}


def _tags(identity: dict[str, str], check: "PromotionCheck") -> dict[str, str]:
    from pipeline.promotion.version_description import TEXT_LIMIT

    return {
        **identity,
        "test_digest": check.test.digest,
        "accuracy": repr(check.figures["accuracy"]),
        "classes": ", ".join(check.dataset.classes)[:TEXT_LIMIT],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=2) + "\n")


def main(prog: str = "python -m pipeline.register") -> None:
    """Register the network that params.yaml's pipeline trained and evaluated."""
    run(*params_and_paths(stage_parser(prog, __doc__, Paths()).parse_args(), Paths()))


if __name__ == "__main__":
    run_main(main)
