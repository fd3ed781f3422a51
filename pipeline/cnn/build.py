"""Build a Keras model from an architecture, using built-in layers only."""

from typing import Any

import keras

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import LayerGeometry, describe
from pipeline.params.sections import AugmentationParams


def build(
    architecture: Architecture,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    augmentation: AugmentationParams | None = None,
    seed: int = 0,
    logits: bool = False,
) -> keras.Model:
    """Build a network with newly initialized weights.

    Args:
        architecture: The architecture to build.
        mean: Mean of the raw training values, one number per channel.
        std: Standard deviation of the raw training values, one number per channel; 0 counts as 1.
        augmentation: Random transformations to add after the standardization, for a training network; None: no
            transformations.
        seed: Seed of the initial weights, dropout and augmentation.
        logits: Return class scores instead of probabilities, for a training network.

    Returns:
        A functional model from (batch, *grid, channels) float32 raw values, such as pixels from 0 to 255, to (batch,
        classes) float32. The weights of all variants of one architecture have the same order.

    Raises:
        Infeasible: The architecture does not fit its input.
    """
    seeds = iter(range(seed, seed + 1_000_000))
    tensors: dict[str, Any] = {}
    for entry in describe(architecture).layers:
        if entry.layer.kind == "input":
            tensors[entry.layer.name] = keras.Input(architecture.input_shape, name="input", dtype="float32")
            continue
        inputs = [tensors[name] for name in entry.layer.inputs]
        if entry.layer.kind == "standardize":
            variance = [deviation**2 if deviation > 0 else 1.0 for deviation in std]
            standardize = keras.layers.Normalization(mean=list(mean), variance=variance, name="standardize")
            x = standardize(inputs[0])
            if augmentation is not None:
                from pipeline.cnn.augment import augmentation_layers

                for layer in augmentation_layers(augmentation.scaled(), architecture.rank, seed):
                    x = layer(x)
            tensors[entry.layer.name] = x
            continue
        source = tensors[entry.layer.inputs[0]]
        layer = _make(entry, tuple(source.shape[1:]), architecture.rank, next(seeds))
        tensors[entry.layer.name] = layer(inputs if len(inputs) > 1 else inputs[0])
    output = tensors["scores"]
    if not logits:
        output = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(output)
    return keras.Model(tensors["input"], output, name="network")


def _make(entry: LayerGeometry, source_shape: tuple[int, ...], rank: int, seed: int) -> keras.Layer:
    layer, layers = entry.layer, keras.layers
    extent = source_shape[:-1] if layer.whole else layer.extent
    start = keras.initializers.GlorotUniform(seed=seed)
    match layer.kind:
        case "convolution":
            return getattr(layers, f"Conv{rank}D")(
                layer.channels,
                extent,
                layer.strides,
                padding=layer.padding,
                use_bias=layer.use_bias,
                kernel_initializer=start,
                name=layer.name,
            )
        case "separable_convolution":
            return getattr(layers, f"SeparableConv{rank}D")(
                layer.channels,
                extent,
                layer.strides[0] if rank == 1 else layer.strides,
                padding=layer.padding,
                use_bias=layer.use_bias,
                depthwise_initializer=start,
                pointwise_initializer=keras.initializers.GlorotUniform(seed=seed + 500_000),
                name=layer.name,
            )
        case "max_pooling":
            return getattr(layers, f"MaxPooling{rank}D")(layer.extent, layer.strides, name=layer.name)
        case "average_pooling":
            return getattr(layers, f"AveragePooling{rank}D")(layer.extent, layer.strides, name=layer.name)
        case "global_average":
            return getattr(layers, f"GlobalAveragePooling{rank}D")(keepdims=layer.whole, name=layer.name)
        case "global_max":
            return getattr(layers, f"GlobalMaxPooling{rank}D")(name=layer.name)
        case "batch_normalization":
            # Keras's default of 0.99 is too slow for a training of a few hundred steps; PyTorch's default is 0.9.
            return layers.BatchNormalization(momentum=0.9, name=layer.name)
        case "activation":
            return layers.Activation(layer.value, name=layer.name)
        case "scale":
            return layers.Rescaling(layer.value, name=layer.name)
        case "dense":
            activation = layer.value or None
            return layers.Dense(layer.channels, activation=activation, kernel_initializer=start, name=layer.name)
        case "dropout":
            return layers.Dropout(layer.value, seed=seed, name=layer.name)
        case "add":
            return layers.Add(name=layer.name)
        case "multiply":
            return layers.Multiply(name=layer.name)
        case "flatten":
            return layers.Flatten(name=layer.name)
        case _:
            raise AssertionError(f"no layer for {layer.kind}")
