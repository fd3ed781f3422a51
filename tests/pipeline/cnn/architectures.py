"""Architectures of one block, and random ones over the whole vocabulary for property tests."""

import random
from typing import Any

from pipeline.cnn.architecture import Architecture
from pipeline.params import Block, Head


def one_block(grid: tuple[int, ...] = (8, 8, 1), **block: object) -> Architecture:
    """An architecture for three classes with a block of four filters."""
    blocks = (Block.model_validate({"filters": 4, "pooling": "none"} | block),)
    return Architecture(input_shape=grid, classes=3, blocks=blocks, head=Head())


def random_architecture(seed: int, rank: int | None = None) -> Architecture:
    """Draw an architecture from the whole vocabulary; it may not fit its input."""
    draw = random.Random(seed)
    rank = draw.choice([1, 2, 2, 2, 3]) if rank is None else rank
    blocks = tuple(_random_block(draw, rank) for _ in range(draw.randint(0, 3)))
    head = Head(
        kind=draw.choice(["flatten", "global_average", "global_max", "convolution"]),
        dense=tuple(draw.randint(1, 12) for _ in range(draw.randint(0, 2))),
        dropout=draw.choice([0.0, 0.3]),
    )
    grid = tuple(draw.randint(1, {1: 40, 2: 14, 3: 8}[rank]) for _ in range(rank))
    return Architecture(input_shape=(*grid, draw.choice([1, 3])), classes=draw.randint(2, 10), blocks=blocks, head=head)


def _random_block(draw: random.Random, rank: int) -> Block:
    def extent(high: int) -> Any:
        if draw.random() < 0.7:
            return draw.randint(1, high)
        return tuple(draw.randint(1, high) for _ in range(rank))

    residual = draw.random() < 0.3
    attention = draw.choice(["none", "none", "squeeze_excite"])
    convolution = "separable" if rank < 3 and draw.random() < 0.3 else "ordinary"
    return Block(
        filters=draw.randint(1, 9),
        convs=draw.randint(1, 3),
        kernel_size=extent(5),
        strides=draw.randint(1, 3) if convolution == "separable" else extent(3),
        padding="same" if residual else draw.choice(["same", "valid"]),
        convolution=convolution,
        normalization=draw.choice(["none", "batch"]),
        activation=draw.choice(["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]),
        residual=residual,
        attention=attention,
        pooling=draw.choice(["max", "average", "min", "sum", "none"]),
        pool_size=extent(3),
        pool_strides=draw.choice([None, 1, 2, 3]),
        pool_first=not residual and attention == "none" and draw.random() < 0.5,
        dropout=draw.choice([0.0, 0.2]),
    )
