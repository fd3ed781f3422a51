"""Write the description of a registered version in MLflow."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.data.dataset import Dataset
from pipeline.promotion.decision import Decision

if TYPE_CHECKING:
    import keras

TEXT_LIMIT = 5000  # characters of a description or a tag in MLflow


def describe(model: "keras.Model", metrics: Mapping[str, float], dataset: Dataset, decision: Decision) -> str:
    """Write the description of a version, in Markdown.

    Args:
        model: The registered network.
        metrics: Metrics of its evaluation, by name.
        dataset: Metadata of the dataset that it was trained on.
        decision: The decision about its alias.
    """
    interval = ""
    if "accuracy_low" in metrics and "accuracy_high" in metrics:
        interval = f" ({metrics['accuracy_low']:.4f} to {metrics['accuracy_high']:.4f})"
    rules = "".join(
        f"| `{each.rule}` | {each.value_text} | {each.limit_text} | {'yes' if each.holds else '**no**'} |\n"
        for each in decision.verdicts
    )
    layers = "".join(
        f"| {layer.name} | {type(layer).__name__} | {_extent(layer)} | {layer.count_params():,} |\n"
        for layer in model.layers
    )
    text = (
        f"Test accuracy **{metrics['accuracy']:.4f}**{interval} on {dataset.name}; "
        f"registered as {decision.alias}: {decision.reason}.\n\n"
        f"| rule | value | limit | satisfied |\n|---|---|---|---|\n{rules}\n"
        f"Input: raw pixels of shape {tuple(dataset.input_shape)}, {dataset.dtype}. Output: a probability for each of "
        f"{len(dataset.classes)} classes: {', '.join(dataset.classes[:50])}.\n\n"
        f"{model.count_params():,} parameters:\n\n"
    )
    table = f"| layer | kind | output | parameters |\n|---|---|---|---|\n{layers}"
    return text + table if len(text + table) <= TEXT_LIMIT else text[:TEXT_LIMIT]


def _extent(layer: Any) -> str:
    shape = getattr(layer.output, "shape", ())
    return "×".join(str(extent) for extent in shape[1:])
