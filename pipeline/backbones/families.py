"""What is known about the networks of keras.applications without importing Keras: names and expected inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipeline.params.model import BackboneName, MobileNetName

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for values from 0 to 1
_BGR_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, for values from 0 to 255


@dataclass(frozen=True)
class Family:
    """Networks with the same constructor arguments and the same expected input.

    The input is `scale` × value + `offset` for each colour channel, red first, of values from 0 to 255. Source:
    `preprocess_input` of the modules of keras.applications, and the preprocessing within its EfficientNets.

    Attributes:
        scale: Factor of each channel.
        offset: Summand of each channel.
        in_network: Whether the constructor adds the preprocessing to the network by default.
        takes_blue_first: Whether the first layer of the original network takes blue, green, red.
        start: Name of the first layer after a preprocessing that the constructor always adds; empty: there is none.
    """

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    in_network: bool = False
    takes_blue_first: bool = False
    start: str = ""


def _affine(scale: float, offset: float, **more: Any) -> Family:
    return Family((scale,) * 3, (offset,) * 3, **more)


def _standardized(**more: Any) -> Family:
    red, green, blue = zip(_MEAN, _STD, strict=True)
    scale = tuple(1 / (255 * std) for _, std in (red, green, blue))
    offset = tuple(-mean / std for mean, std in (red, green, blue))
    return Family((scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]), **more)


_MOBILENET = _affine(1 / 127.5, -1.0)
_MOBILENET_V3 = _affine(1 / 127.5, -1.0, in_network=True)
_EFFICIENTNET = _standardized(start="stem_conv_pad")
_EFFICIENTNET_V2_B = _standardized(in_network=True)
_EFFICIENTNET_V2 = _affine(1 / 128, -1.0, in_network=True)
_RESNET = Family((1.0, 1.0, 1.0), (-_BGR_MEAN[2], -_BGR_MEAN[1], -_BGR_MEAN[0]), takes_blue_first=True)
_RESNET_V2 = _affine(1 / 127.5, -1.0)

# The name of the constructor in keras.applications, and the family, of each network.
NETWORKS: dict[BackboneName, tuple[str, Family]] = {
    "mobilenet": ("MobileNet", _MOBILENET),
    "mobilenet_v2": ("MobileNetV2", _MOBILENET),
    "mobilenet_v3_small": ("MobileNetV3Small", _MOBILENET_V3),
    "mobilenet_v3_large": ("MobileNetV3Large", _MOBILENET_V3),
    "efficientnet_b0": ("EfficientNetB0", _EFFICIENTNET),
    "efficientnet_b1": ("EfficientNetB1", _EFFICIENTNET),
    "efficientnet_b2": ("EfficientNetB2", _EFFICIENTNET),
    "efficientnet_b3": ("EfficientNetB3", _EFFICIENTNET),
    "efficientnet_b4": ("EfficientNetB4", _EFFICIENTNET),
    "efficientnet_b5": ("EfficientNetB5", _EFFICIENTNET),
    "efficientnet_b6": ("EfficientNetB6", _EFFICIENTNET),
    "efficientnet_b7": ("EfficientNetB7", _EFFICIENTNET),
    "efficientnetv2_b0": ("EfficientNetV2B0", _EFFICIENTNET_V2_B),
    "efficientnetv2_b1": ("EfficientNetV2B1", _EFFICIENTNET_V2_B),
    "efficientnetv2_b2": ("EfficientNetV2B2", _EFFICIENTNET_V2_B),
    "efficientnetv2_b3": ("EfficientNetV2B3", _EFFICIENTNET_V2_B),
    "efficientnetv2_s": ("EfficientNetV2S", _EFFICIENTNET_V2),
    "efficientnetv2_m": ("EfficientNetV2M", _EFFICIENTNET_V2),
    "efficientnetv2_l": ("EfficientNetV2L", _EFFICIENTNET_V2),
    "resnet50": ("ResNet50", _RESNET),
    "resnet101": ("ResNet101", _RESNET),
    "resnet152": ("ResNet152", _RESNET),
    "resnet50v2": ("ResNet50V2", _RESNET_V2),
    "resnet101v2": ("ResNet101V2", _RESNET_V2),
    "resnet152v2": ("ResNet152V2", _RESNET_V2),
}


def constructor_arguments(name: BackboneName, alpha: float) -> dict[str, Any]:
    """Return the arguments that only some constructors have: alpha, and no preprocessing within the network."""
    arguments: dict[str, Any] = {"alpha": alpha} if name in get_args(MobileNetName) else {}
    return arguments | ({"include_preprocessing": False} if NETWORKS[name][1].in_network else {})


def save_command(name: BackboneName, alpha: float, path: Path) -> str:
    """Return the shell command that saves the weights of keras.applications in a file like `path`."""
    target = path.with_name(path.name.removesuffix(".weights.h5").removesuffix(path.suffix) + ".weights.h5")
    width = f", alpha={alpha:g}" if name in get_args(MobileNetName) else ""
    return (
        f"""python -c 'import keras; keras.applications.{NETWORKS[name][0]}(weights="imagenet", """
        f"""include_top=False{width}).save_weights("{target.as_posix()}")'"""
    )
