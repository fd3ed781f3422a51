"""Report the cost of the network: size, operations, time and memory."""

from pipeline.description.layer_table import layer_cells
from pipeline.evaluation.cost import Cost
from pipeline.evaluation.evaluation import Evaluation
from pipeline.pages.architecture_diagram import architecture_diagram
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder


def add_size_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the costs that follow from the architecture, and the size of the file, to the report.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    geometry, size = evaluation.geometry, evaluation.model_path.stat().st_size
    report.metrics |= {"params": geometry.params, "macs": geometry.macs, "file_bytes": size}
    rows: list[list[str | Cell]] = [
        ["parameters", f"{geometry.params:,}"],
        [f"multiply-accumulate operations (MACs) per {report.words.one}", f"{geometry.macs:,}"],
        [f"outputs of all layers per {report.words.one}, KiB", f"{geometry.activation_bytes / 1024:,.1f}"],
        ["file size, KiB", f"{size / 1024:,.1f}"],
    ]
    layers: list[list[str | Cell]] = [list(layer_cells(entry)) for entry in geometry.layers]
    heads = [Column(title) for title in ("layer", "kind", "output")]
    heads += [Column(title, number=True) for title in ("parameters", "MACs", "receptive field", "total stride")]
    report.sections.append(
        report.section(
            "cost",
            "Cost",
            "cost",
            sizes=table("Size and operations", [Column("quantity"), Column("value", number=True)], rows),
            diagram=architecture_diagram(geometry),
            layers=table("Layers", heads, layers),
        )
    )


def add_speed_section(report: ReportBuilder, cost: Cost) -> None:
    """Add the measured times and memory to the report. They differ between runs of the same evaluation.

    Args:
        report: Report to extend.
        cost: Measured times and memory.
    """
    words = report.words
    rows: list[list[str | Cell]] = [
        [f"latency, one {words.one}, ms", f"{cost.latency_ms:.3g}", f"{cost.latency_p95_ms:.3g} (95th percentile)"],
        [
            f"{words.many} per second, batches of {cost.batch}",
            f"{cost.images_per_second:,.0f}",
            f"{cost.images_per_second_p5:,.0f} (5th percentile)",
        ],
        ["peak memory of the evaluation process, MiB", f"{cost.peak_memory_mb:,.0f}", ""],
    ]
    if cost.joules_per_image is not None:
        rows.append([f"GPU energy per {words.one}, batches of {cost.batch}, J", f"{cost.joules_per_image:.3g}", ""])
    heads = [Column("quantity"), Column("median", number=True), Column("tail", number=True)]
    report.sections.append(report.section("speed", "Speed", "speed", times=table("Speed and memory", heads, rows)))
