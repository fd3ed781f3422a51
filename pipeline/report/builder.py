"""What an evaluation found: figures, tables, pictures, and the sections of its page."""

import csv
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.pages.document import Section, framed
from pipeline.pages.svg import picture
from pipeline.pages.templates import render
from pipeline.plots.figure import save_figure

TEMPLATES = Path(__file__).with_name("templates")
# What one compares networks by; all other figures would make a table of experiments too wide to read.
COMPARED = (
    "accuracy", "macro_f1", "top_k_accuracy", "log_loss", "expected_calibration_error", "robustness", "params", "macs",
)  # fmt: skip


@dataclass
class ReportBuilder:
    """Takes what the parts of an evaluation find.

    Attributes:
        folder: where tables and pictures go.
        metrics: figures by name, flat.
        verdicts: sentences that the page opens with.
        sections: of the page, in order.
        files: names of the tables and pictures, in order.
    """

    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def section(self, key: str, title: str, template: str, **values: Any) -> Section:
        """A section from a template in `templates/`.

        Args:
            key: its address on the page, a word.
            title: its heading.
            template: name of the template, without its ending.
            values: by the names that the template has for them.
        """
        return Section(key, title, render(TEMPLATES / f"{template}.html", **values))

    def write_metrics(self) -> None:
        """Write metrics.json, which DVC shows, and details.json with all other figures."""
        self.metrics = {name: rounded(value) for name, value in self.metrics.items()}
        for file, compared in (("metrics.json", True), ("details.json", False)):
            figures = {name: value for name, value in self.metrics.items() if (name in COMPARED) == compared}
            (self.folder / file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            self.files.append(file)

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write NAME.csv; there must be a row."""
        listed = list(rows)
        with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(listed)
        self.files.append(f"{name}.csv")

    def plot(self, name: str, figure: Figure, caption: str) -> Markup:
        """Write NAME.png; gives it for the page, drawn in the page's colours."""
        path = self._save(name, figure)
        return framed(picture(figure, path, name, caption), _title(name), caption)

    def images(self, name: str, figure: Figure, caption: str) -> Markup:
        """Write NAME.png; gives it for the page, as it is."""
        data = b64encode(self._save(name, figure).read_bytes()).decode("ascii")
        image = Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, caption)
        return framed(image, _title(name), caption)

    def _save(self, name: str, figure: Figure) -> Path:
        path = self.folder / f"{name}.png"
        save_figure(figure, path)
        self.files.append(path.name)
        return path


def rounded(value: float) -> float:
    """A figure with six significant digits; whole numbers stay as they are."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _title(name: str) -> str:
    return name.replace("_", " ")
