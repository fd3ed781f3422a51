"""Print the layers of an architecture with their shapes, receptive fields and cost."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.cnn.architecture import Architecture
    from pipeline.cnn.geometry import Geometry


def read_architecture(path: Path) -> "Architecture":
    """Read an architecture from an architecture file or from a candidate, such as models/architecture.yaml.

    Raises:
        ParamsError: The file is missing or invalid.
    """
    from pipeline.cnn.architecture import Architecture
    from pipeline.cnn.candidate import Candidate
    from pipeline.params_file import read_yaml, validate

    content = read_yaml(path)
    if isinstance(content, dict) and "architecture" in content:
        return validate(Candidate, content, path).architecture
    return validate(Architecture, content, path)


def table(geometry: "Geometry") -> str:
    """Format the layers as an aligned table, followed by the totals."""
    from pipeline.description.layer_table import layer_cells

    head = ("layer", "kind", "output", "params", "MACs", "receptive field", "total stride")
    rows = [head, *(layer_cells(entry) for entry in geometry.layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    lines.append("")
    lines.append(f"parameters            {geometry.params:,} ({geometry.trainable_params:,} trainable)")
    lines.append(f"multiply-accumulates  {geometry.macs:,} per input")
    lines.append(f"activations           {geometry.activation_bytes / 1024:,.1f} KiB per input (float32)")
    lines.append(f"receptive field       {'×'.join(str(size) for size in geometry.receptive_field)} before the head")
    return "\n".join(lines)


def main(prog: str) -> None:
    """Print the table of the file given on the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("file", type=Path, help="architecture file, such as models/architecture.yaml")
    path = parser.parse_args().file
    from pipeline.cnn.geometry import Infeasible, compute_geometry

    architecture = read_architecture(path)
    if architecture.backbone is not None:
        from pipeline.backend.runtime import start_backend

        start_backend(command="describe")
    try:
        print(table(compute_geometry(architecture)))
    except Infeasible as error:
        raise UserError(f"{path}: {error}") from None
