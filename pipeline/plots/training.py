"""Draw learning curves."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.training.history import EpochMetrics, best_epoch


def write_curves(history: Sequence[EpochMetrics], path: Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs. Equal histories produce identical bytes.

    Args:
        history: Metrics of each epoch.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from pipeline.plots.figure import save_figure

    epochs = [entry.epoch for entry in history]
    best = best_epoch(history)
    figure = Figure(figsize=(11, 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    curves = (
        ("loss", [("train", [e.loss for e in history]), ("validation", [e.val_loss for e in history])]),
        (
            "accuracy",
            [
                ("train", [e.accuracy for e in history]),
                ("validation", [e.val_accuracy for e in history]),
                ("validation macro F1", [e.val_macro_f1 for e in history]),
            ],
        ),
        ("learning rate", [("learning rate", [e.learning_rate for e in history])]),
    )
    for axes, (title, lines) in zip(panels, curves, strict=True):
        for label, values in lines:
            axes.plot(epochs, values, label=label, marker="o" if len(epochs) == 1 else "")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.axvline(best, color="grey", linestyle=":", label=f"best: epoch {best}")
            axes.legend()
    save_figure(figure, path)
