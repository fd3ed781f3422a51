"""Resize images by the policy of an image format."""

from typing import TYPE_CHECKING, Any

from pipeline.data.input_format import ImageFormat
from pipeline.params.input_types import Color

if TYPE_CHECKING:
    from PIL import Image


def resize(image: "Image.Image", image_format: ImageFormat, background: Any) -> "Image.Image":
    """Resize an image to the size of a format. An image that has this size already is returned as it is.

    `stretch` changes the aspect ratio. `pad` keeps it and centres the whole image on the background. `crop` keeps it
    and cuts equal parts off both ends of the longer side.

    Args:
        image: An upright image of mode L, RGB, or F from 0 to 255.
        image_format: Size, policy and interpolation.
        background: Value of the margins, in the mode of the image.
    """
    from PIL import Image

    if image_format.image_size is None:
        return image
    height, width = image_format.image_size
    if image.size == (width, height):
        return image
    method = Image.Resampling[image_format.interpolation.upper()]
    if image_format.resize == "stretch":
        return image.resize((width, height), method)
    scales = width / image.width, height / image.height
    if image_format.resize == "crop":
        kept_width = min(image.width, width / max(scales))  # at most the image, despite rounding
        kept_height = min(image.height, height / max(scales))
        left, top = (image.width - kept_width) / 2, (image.height - kept_height) / 2
        return image.resize((width, height), method, (left, top, left + kept_width, top + kept_height))
    inner_width = min(width, max(1, round(image.width * min(scales))))
    inner_height = min(height, max(1, round(image.height * min(scales))))
    padded = Image.new(image.mode, (width, height), background)
    inner = image.resize((inner_width, inner_height), method)
    padded.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return padded


def luma(color: Color) -> int:
    """Grey level of a colour, from 0 to 255, as Pillow converts it (ITU-R 601)."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
