"""The layers of an architecture as rows of a table."""

from pipeline.cnn.geometry import LayerGeometry, times


def layer_cells(entry: LayerGeometry) -> tuple[str, ...]:
    """Cells of a table row: name, kind, output shape, parameters, MACs, receptive field and jump."""
    shape, field, jump = (times(extents) for extents in (entry.output_shape, entry.receptive_field, entry.jump))
    kind = entry.layer.kind.replace("_", " ")
    return entry.layer.name, kind, shape, f"{entry.params:,}", f"{entry.macs:,}", field, jump
