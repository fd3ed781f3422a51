"""Draw an architecture: input, blocks and head, with a box for each convolution, pooling and dense layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from textwrap import wrap

from markupsafe import Markup

from pipeline.cnn.geometry import Geometry, LayerGeometry, times

# In SVG units, which are pixels unless the drawing is scaled.
_WIDTH, _LINE, _PADDING, _GAP, _EDGE, _ASIDE = 188, 16, 9, 26, 8, 46
_MAX_LETTERS = 29  # characters of a line in a box
_REDUCTIONS = {"flatten": "flatten", "global_average": "global average", "global_max": "global max"}


@dataclass
class _Box:
    """A layer, with the small layers that follow it.

    Attributes:
        title: Kind of the layer.
        kind: CSS class of the box, which sets its colour.
        output: Output shape.
        facts: Settings such as filters and strides.
        notes: Small layers after it, such as a normalization.
        adds: Whether a residual connection ends here.
    """

    title: str
    kind: str
    output: tuple[int, ...]
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    adds: bool = False

    @property
    def lines(self) -> list[str]:
        """Lines below the title."""
        return [*self.facts, *wrap(", ".join(self.notes), _MAX_LETTERS)]

    @property
    def height(self) -> int:
        """Height of the box."""
        return 2 * _PADDING + _LINE * (1 + len(self.lines))


@dataclass
class _Card:
    """A part of the network: the input, a block, a backbone, or the head.

    Attributes:
        title: Heading of the card.
        boxes: Layers from top to bottom.
        shortcut: Operation on the residual connection; None: the part has no residual connection.
    """

    title: str
    boxes: list[_Box] = field(default_factory=list)
    shortcut: str | None = None


def architecture_diagram(geometry: Geometry) -> Markup:
    """Draw an architecture as an HTML list of inline SVGs, one per card, which wraps on narrow screens.

    Args:
        geometry: Geometry of the architecture.
    """
    shapes = {entry.layer.name: entry.output_shape for entry in geometry.layers}
    cards = []
    for title, entries in groupby(geometry.layers, lambda entry: _part(entry.layer.name)):
        cards.append(_card(title, list(entries), shapes))
    cards[-1].boxes[-1].notes.append("softmax")
    items = "\n".join(f"<li>{_draw(card)}</li>" for card in cards)
    return Markup(f'<ol class="outline">\n{items}\n</ol>')  # noqa: S704  # `_draw` escapes text


def _part(name: str) -> str:
    """Title of the card that a layer belongs to."""
    first = name.split("_")[0]
    if first.startswith("block"):
        return f"Block {first.removeprefix('block')}"
    if first == "backbone":
        return "Backbone"
    return "Input" if name in ("input", "standardize") else "Head"


def _card(title: str, entries: Sequence[LayerGeometry], shapes: dict[str, tuple[int, ...]]) -> _Card:
    card = _Card(title)
    subsampled: dict[str, tuple[int, ...]] = {}  # strides of a pooling before a convolution of extent 1
    for entry in entries:
        layer, name = entry.layer, entry.layer.name
        if name.endswith("_subsample"):
            subsampled[name.removesuffix("_subsample")] = layer.strides
        elif name.endswith("_shortcut"):
            strides = subsampled.get(name, layer.strides)
            card.shortcut = " ".join([f"conv {times(layer.extent)}", *_strides(strides)])
        elif not name.endswith("_shortcut_norm"):
            _enter(card, entry, shapes, subsampled.get(name, layer.strides))
    if any(box.adds for box in card.boxes) and card.shortcut is None:
        card.shortcut = "identity"
    return card


def _enter(card: _Card, entry: LayerGeometry, shapes: dict[str, tuple[int, ...]], strides: tuple[int, ...]) -> None:
    """Add a box for a layer, or a note to the previous box."""
    layer, shape = entry.layer, entry.output_shape
    boxes = card.boxes
    match layer.kind:
        case "input":
            boxes.append(_Box("input", "plain", shape))
        case "pixels":
            boxes.append(_Box("red, green, blue", "plain", shape, ["in the range of the backbone"]))
        case "resize":
            boxes.append(_Box("enlarge", "plain", shape))
        case "backbone":
            words = "" if layer.backbone is None else layer.backbone.words
            boxes.append(_Box(str(layer.value), "conv", shape, [words.partition(" (")[2].rstrip(")")]))
        case "convolution" | "separable_convolution":
            extent = shapes[layer.inputs[0]][:-1] if layer.whole else layer.extent
            what = "conv" if layer.kind == "convolution" else "separable conv"
            facts = [", ".join([f"{layer.channels} filters", *_strides(strides)])]
            boxes.append(_Box(f"{what} {times(extent)}", "conv", shape, facts))
        case "max_pooling" | "average_pooling":
            boxes.append(_Box(f"{layer.value} pooling {times(layer.extent)}", "pool", shape, _strides(strides)))
        case "global_average" if layer.name.endswith("_squeeze"):
            boxes.append(_Box("squeeze-excite", "attend", shapes[layer.inputs[0]], [f"{shape[-1]}"]))
        case "dense" if layer.name.endswith(("_reduce", "_excite")) and boxes[-1].kind == "attend":
            boxes[-1].facts[-1] += f" → {layer.channels}"
        case "flatten" if layer.name == "scores":
            boxes[-1].output = shape
        case "flatten" | "global_average" | "global_max":
            boxes.append(_Box(_REDUCTIONS[layer.kind], "pool", shape))
        case "dense":
            boxes.append(_Box(f"dense {layer.channels}", "dense", shape))
        case "add":
            boxes.append(_Box("add", "plain", shape, adds=True))
        case "standardize":
            boxes[-1].notes.append("standardized")
        case "batch_normalization":
            boxes[-1].notes.append("batch norm")
        case "activation":
            boxes[-1].notes.append(str(layer.value))
        case "dropout":
            if boxes:
                boxes[-1].notes.append(f"dropout {layer.value}")
            else:  # a convolutional head starts with dropout
                boxes.append(_Box(f"dropout {layer.value}", "plain", shape))


def _strides(strides: tuple[int, ...]) -> list[str]:
    """Text about strides; an empty list if they are all 1."""
    if all(stride == 1 for stride in strides):
        return []
    return [f"stride {strides[0] if len(set(strides)) == 1 else times(strides)}"]


def _draw(card: _Card) -> str:
    """Draw a card as SVG: boxes from top to bottom, arrows between them, the residual connection on the right."""
    left, middle = _EDGE, _EDGE + _WIDTH / 2
    top = _GAP + _LINE
    parts: list[str] = []
    tops: list[int] = []
    for box in card.boxes:
        parts.append(_arrow(middle, top - _GAP + (0 if tops else 6), top))
        parts.append(f'<rect class="{box.kind}" x="{left}" y="{top}" width="{_WIDTH}" height="{box.height}" rx="6"/>')
        for number, text in enumerate((box.title, *box.lines)):
            kind = "title" if number == 0 else "fact"
            y = top + _PADDING + _LINE * number + 12
            parts.append(f'<text class="{kind}" x="{middle:g}" y="{y}">{escape(text)}</text>')
        tops.append(top)
        top += box.height + _GAP
        parts.append(f'<text class="shape" x="{middle + 10:g}" y="{top - 9}">{times(box.output)}</text>')
    parts.append(_arrow(middle, top - _GAP, top - 2))
    for box, at in zip(card.boxes, tops, strict=True):
        if box.adds:
            parts.append(_arc(_GAP + _LINE - 16, at + box.height / 2, middle, left + _WIDTH, card.shortcut or ""))
    width = 2 * _EDGE + _WIDTH + (_ASIDE if card.shortcut else 0)
    return (
        f'<svg class="card" viewBox="0 0 {width} {top}" width="{width}" height="{top}" role="img" '
        f'aria-label="{escape(_in_words(card))}">'
        f'<text class="heading" x="{left}" y="14">{escape(card.title)}</text>{"".join(parts)}</svg>'
    )


def _arrow(x: float, start: float, end: float) -> str:
    return f'<path class="flow" d="M{x:g} {start:g}V{end:g}"/><path class="tip" d="M{x:g} {end:g}l-4 -7h8z"/>'


def _arc(start: float, end: float, middle: float, right: float, text: str) -> str:
    """Draw a residual connection from above the first box to the right edge of the box that adds it."""
    out = right + 24
    x, y = out + 9, (start + end) / 2
    return (
        f'<path class="arc" d="M{middle:g} {start:g}H{out - 12:g}Q{out:g} {start:g} {out:g} {start + 12:g}'
        f'V{end - 12:g}Q{out:g} {end:g} {out - 12:g} {end:g}H{right + 4:g}"/>'
        f'<path class="arc-tip" d="M{right:g} {end:g}l7 -4v8z"/>'
        f'<text class="aside" x="{x:g}" y="{y:g}" transform="rotate(90 {x:g} {y:g})">{escape(text)}</text>'
    )


def _in_words(card: _Card) -> str:
    """Describe a card for screen readers."""
    boxes = [", ".join([box.title, *box.lines]) + f", output {times(box.output)}" for box in card.boxes]
    shortcut = "" if card.shortcut is None else f"; a residual connection ({card.shortcut}) from its input to add"
    return f"{card.title}: {'; then '.join(boxes)}{shortcut}"
