"""Resize images by the policy of an image format."""

from math import ceil
from typing import TYPE_CHECKING, Any

from pipeline.data.input_format import ImageFormat
from pipeline.params.input_types import Color

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_MARGIN = 1.5  # extents of a reduced JPEG, relative to those after resizing


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


def reduce_jpeg(image: "ImageFile.ImageFile", image_format: ImageFormat, turned: bool) -> None:
    """Let libjpeg decode a large JPEG file at a half, a quarter or an eighth of its size, which is faster.

    The result has at least 1.5 times the extents that `resize` needs, so that `resize` still averages.

    Args:
        image: An opened JPEG file whose pixels are not yet decoded.
        image_format: Size and policy.
        turned: Whether the image is turned by 90 degrees afterwards.
    """
    if image_format.image_size is None:
        return
    height, width = reversed(image_format.image_size) if turned else image_format.image_size
    scales = width / image.width, height / image.height
    if image_format.resize != "stretch":
        scales = (max(scales) if image_format.resize == "crop" else min(scales),) * 2
    needed = [ceil(_MARGIN * extent * scale) for extent, scale in zip(image.size, scales, strict=True)]
    image.draft(None, (needed[0], needed[1]))


def luma(color: Color) -> int:
    """Grey level of a colour, from 0 to 255, as Pillow converts it (ITU-R 601)."""
    red, green, blue = color
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
