"""What the network costs."""

from pathlib import Path

from pipeline.cnn.geometry import Geometry
from pipeline.evaluation.cost import BATCH, Cost
from pipeline.pages.architecture_diagram import architecture_diagram
from pipeline.pages.tables import Cell, Column, table
from pipeline.report.builder import ReportBuilder


def add_size_section(report: ReportBuilder, geometry: Geometry, model_path: Path) -> None:
    """Write into the report what the network costs by arithmetic.

    Args:
        report: takes it.
        geometry: of the architecture.
        model_path: the network's file.
    """
    size = model_path.stat().st_size
    report.metrics |= {"params": geometry.params, "macs": geometry.macs, "file_bytes": size}
    rows: list[list[str | Cell]] = [
        ["parameters", f"{geometry.params:,}"],
        ["multiply-accumulates for an image", f"{geometry.macs:,}"],
        ["outputs of all layers for an image, KiB", f"{geometry.activation_bytes / 1024:,.1f}"],
        ["file, KiB", f"{size / 1024:,.1f}"],
    ]
    layers: list[list[str | Cell]] = [list(entry.cells) for entry in geometry.layers]
    heads = [Column(title) for title in ("layer", "kind", "output")]
    heads += [Column(title, number=True) for title in ("parameters", "MACs", "receptive field", "jump")]
    report.sections.append(
        report.section(
            "cost",
            "Cost",
            "cost",
            sizes=table("Cost by arithmetic", [Column("what"), Column("size", number=True)], rows),
            diagram=architecture_diagram(geometry),
            layers=table("Layers", heads, layers),
        )
    )


def add_speed_section(report: ReportBuilder, cost: Cost) -> None:
    """Write into the report times and memory as measured.

    Args:
        report: takes them; equal evaluations may differ in them.
        cost: as measured.
    """
    rows: list[list[str | Cell]] = [
        ["latency, one image, ms", f"{cost.latency_ms:.3g}", f"{cost.latency_p95_ms:.3g} (95th percentile)"],
        [
            f"images per second, batches of {BATCH}",
            f"{cost.images_per_second:,.0f}",
            f"{cost.images_per_second_p5:,.0f} (5th percentile)",
        ],
        ["peak memory of the evaluation's process, MiB", f"{cost.peak_memory_mb:,.0f}", ""],
    ]
    if cost.joules_per_image is not None:
        rows.append([f"energy of the GPUs for an image, batches of {BATCH}, J", f"{cost.joules_per_image:.3g}", ""])
    heads = [Column("what"), Column("median", number=True), Column("slow end", number=True)]
    report.sections.append(report.section("speed", "Speed", "speed", times=table("Speed and memory", heads, rows)))
