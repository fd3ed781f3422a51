"""Collect the metrics, tables, pictures and page sections of an evaluation."""

import csv
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.data.kind import KINDS, KindWords
from pipeline.pages.document import Section, framed
from pipeline.pages.svg import picture
from pipeline.pages.templates import render
from pipeline.plots.figure import save_figure

TEMPLATES = Path(__file__).with_name("templates")
# The metrics of metrics.json. With all metrics, a table of experiments would be too wide to read.
COMPARED = (
    "accuracy", "macro_f1", "top_k_accuracy", "log_loss", "expected_calibration_error", "robustness", "params", "macs",
)  # fmt: skip


@dataclass
class ReportBuilder:
    """Collects the results of an evaluation: metrics, tables, pictures and the sections of its page.

    Attributes:
        folder: Output folder of the tables and pictures.
        metrics: Metrics by name.
        verdicts: Sentences at the top of the page.
        sections: Sections of the page, in order.
        files: Names of the tables and pictures, in order.
        words: Words for the samples.
    """

    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    words: KindWords = KINDS["image"]

    def section(self, key: str, title: str, template: str, **values: Any) -> Section:
        """Render a section from a template in `templates/`.

        Args:
            key: Anchor of the section, a word.
            title: Heading of the section.
            template: Name of the template, without its suffix.
            values: Variables of the template, in addition to `words`.
        """
        return Section(key, title, render(TEMPLATES / f"{template}.html", words=self.words, **values))

    def write_metrics(self) -> None:
        """Write metrics.json, which DVC shows, and details.json with all other metrics."""
        self.metrics = {name: rounded(value) for name, value in self.metrics.items()}
        for file, compared in (("metrics.json", True), ("details.json", False)):
            figures = {name: value for name, value in self.metrics.items() if (name in COMPARED) == compared}
            (self.folder / file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            self.files.append(file)

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write NAME.csv from at least one row."""
        listed = list(rows)
        with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(listed)
        self.files.append(f"{name}.csv")

    def plot(self, name: str, figure: Figure, caption: str) -> Markup:
        """Write NAME.png, and return the plot for the page, drawn in the page's colours."""
        path = self._save(name, figure)
        return framed(picture(figure, path, name, caption), _title(name), caption)

    def images(self, name: str, figure: Figure, caption: str) -> Markup:
        """Write NAME.png, and return it for the page."""
        data = b64encode(self._save(name, figure).read_bytes()).decode("ascii")
        image = Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, caption)
        return framed(image, _title(name), caption)

    def _save(self, name: str, figure: Figure) -> Path:
        path = self.folder / f"{name}.png"
        save_figure(figure, path)
        self.files.append(path.name)
        return path


def rounded(value: float) -> float:
    """Round a value to six significant digits. Integers are unchanged."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _title(name: str) -> str:
    return name.replace("_", " ")
