"""One-line descriptions of candidates."""

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.description.notation import in_words
from pipeline.params import Block, Head


@pytest.mark.parametrize(
    ("blocks", "head", "expected"),
    [
        (
            (Block(filters=32, kernel_size=5, strides=2, pooling="max", pool_size=2),),
            Head(kind="flatten", dense=(126, 126)),
            "conv 32 5×5 stride 2, max pool 2, flatten, dense 126, dense 126",
        ),
        (
            (Block(filters=16, convs=2, pooling="average", pool_size=3, pool_strides=2, residual=True),),
            Head(kind="global_average"),
            "residual 2×conv 16 3×3, average pool 3 stride 2, global average pool",
        ),
        (
            (
                Block(filters=8, normalization="batch", activation="gelu", dropout=0.1),
                Block(filters=16, normalization="batch", activation="gelu", padding="valid", pooling="none"),
            ),
            Head(kind="flatten", dense=(20,), activation="gelu", dropout=0.30000000000000004),
            "conv 8 3×3 dropout 0.1, max pool 2, conv 16 3×3 valid padding, flatten, dense 20 gelu, head dropout 0.3; "
            "batch norm, gelu",
        ),
        (
            (Block(filters=8, kernel_size=(3, 5), convolution="separable", pooling="none"),),
            Head(kind="convolution", dense=(10,)),
            "separable conv 8 3×5, convolutional head, dense 10",
        ),
    ],
    ids=["plain", "residual", "shared settings", "separable"],
)
def test_the_line_lists_the_layers_in_order(blocks: tuple[Block, ...], head: Head, expected: str) -> None:
    architecture = Architecture(input_shape=(16, 16, 1), classes=10, blocks=blocks, head=head)
    assert in_words(Candidate(architecture=architecture, training={})) == expected


def test_training_settings_follow_the_layers() -> None:
    architecture = Architecture(input_shape=(16, 1), classes=2, blocks=(Block(filters=4),), head=Head())
    candidate = Candidate(architecture=architecture, training={"learning_rate": 0.0012345, "batch_size": 32})
    assert in_words(candidate) == "conv 4 3, max pool 2, flatten; learning rate 0.00123, batch size 32"
