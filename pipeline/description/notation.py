"""Describe a candidate in one line, in the terms of Keras."""

from pipeline.cnn.candidate import Candidate
from pipeline.params import Block, Head

MAX_NAME = 80  # characters that fit into MLflow's table of runs
_HEADS = {"flatten": "flatten", "convolution": "convolutional head"}


def in_words(candidate: Candidate) -> str:
    """Describe a candidate, such as `conv 16 3×3, max pool 2, flatten, dense 64; gelu; learning rate 0.003`.

    The layers come first (of a backbone, its name), then the settings that all blocks share, then the training
    settings. Default values are omitted: activation relu, padding same, no normalization, no dropout.
    """
    architecture = candidate.architecture
    rank = len(architecture.input_shape) - 1
    traits = [_traits(block) for block in architecture.blocks]
    common = [trait for trait in traits[0] if all(trait in each for each in traits)] if traits else []
    layers = [] if architecture.backbone is None else [architecture.backbone.words]
    layers += [
        part
        for block, own in zip(architecture.blocks, traits, strict=True)
        for part in _block(block, rank, [trait for trait in own if trait not in common])
    ]
    layers += _head(architecture.head)
    training = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in candidate.training.items()]
    return "; ".join(", ".join(parts) for parts in (layers, common, training) if parts)


def run_name(words: str) -> str:
    """Shorten a description such as `trial 17: conv 16 3×3, flatten` to MAX_NAME characters."""
    return words if len(words) <= MAX_NAME else words[: MAX_NAME - 1].rstrip(" ,;") + "…"


def _block(block: Block, rank: int, traits: list[str]) -> list[str]:
    words = [f"{block.convs}×conv" if block.convs > 1 else "conv", str(block.filters), _kernel(block.kernel_size, rank)]
    if block.convolution == "separable":
        words.insert(0, "separable")
    if block.residual:
        words.insert(0, "residual")
    if block.strides != 1:
        words.append(f"stride {_extent(block.strides)}")
    parts = [" ".join(words + traits)]
    if block.pooling != "none":
        overlap = block.pool_strides is not None and block.pool_strides != block.pool_size
        stride = f" stride {_extent(block.pool_strides)}" if overlap else ""
        parts.append(f"{block.pooling} pool {_extent(block.pool_size)}{stride}")
    return parts


def _traits(block: Block) -> list[str]:
    """Settings of a block that several blocks often share."""
    traits = [] if block.padding == "same" else [f"{block.padding} padding"]
    traits += ["batch norm"] if block.normalization == "batch" else []
    traits += _activation(block.activation)
    traits += [] if block.attention == "none" else [block.attention.replace("_", "-")]
    return traits + ([f"dropout {_short(block.dropout)}"] if block.dropout else [])


def _head(head: Head) -> list[str]:
    kind = _HEADS.get(head.kind, f"{head.kind.replace('_', ' ')} pool")
    dense = [" ".join(("dense", str(units), *_activation(head.activation))) for units in head.dense]
    return [kind, *dense, *([f"head dropout {_short(head.dropout)}"] if head.dropout else [])]


def _activation(name: str) -> list[str]:
    return [] if name == "relu" else [name.replace("_", " ")]


def _kernel(extent: object, rank: int) -> str:
    return _extent(extent if isinstance(extent, tuple) else (extent,) * rank)


def _extent(extent: object) -> str:
    return "×".join(str(size) for size in extent) if isinstance(extent, tuple) else str(extent)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
