"""Pillow: whether a file is a picture that the shop can show, and that picture in a few widths.

By its content, whatever it is called: JPEG, PNG, WebP or the first image of a GIF. What comes out has nothing of the
file but its pixels, upright and in sRGB: no place, no camera, no comment.
"""

import io
import threading
from typing import TYPE_CHECKING

from shared.media.media import LONGEST_SIDE, MOST_PIXELS, WIDTHS, RefusedPicture, Rendered, Rendition

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_QUALITY = 82
# One at a time: a large one needs most of an instance's memory, and all of its CPU.
_rendering = threading.Lock()


class Pictures:
    def render(self, content: bytes) -> Rendered:
        """Raises RefusedPicture. Takes seconds of CPU for a large one."""
        with _rendering:
            return _render(content)


def _render(content: bytes) -> Rendered:
    picture = _upright(_decode(content))
    widths = sorted({min(width, picture.width) for width in WIDTHS})
    return Rendered(
        picture.width, picture.height, "image/webp", "webp", [_rendition(picture, width) for width in widths]
    )


def _decode(content: bytes) -> "Image":
    """The first image, decoded. Its size is read first: a few bytes may stand for gigabytes of pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedPicture("too_many_pixels") from error
    except UnidentifiedImageError as error:
        raise RefusedPicture("not_a_picture") from error
    except Exception as error:
        raise _damaged(error) from error
    if picture.width * picture.height > MOST_PIXELS or max(picture.size) > LONGEST_SIDE:
        raise RefusedPicture("too_many_pixels")
    try:
        picture.load()
    except Exception as error:
        raise _damaged(error) from error
    return picture


def _upright(picture: "Image") -> "Image":
    """In sRGB, with transparency only where there is some, turned as its EXIF says."""
    try:
        return _in_srgb(_turned(picture))
    except Exception as error:
        raise _damaged(error) from error


def _turned(picture: "Image") -> "Image":
    from PIL.Image import Transpose

    # EXIF 2.32, 4.6.4 A, Orientation: how what was stored is to be turned.
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(picture.getexif().get(0x0112, 1))
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        return picture  # what was noted badly beside it does no harm to a picture
    return picture if turn is None else picture.transpose(turn)


def _in_srgb(picture: "Image") -> "Image":
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I"):
        # Sixteen bits of grey: Pillow would cut them off instead of scaling.
        picture = picture.point(lambda value: value / 256).convert("L")
        profile = None
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode not in ("RGB", "CMYK", "L"):
        picture = picture.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a profile of other colours than the picture's, or none at all: it is worth no refusal
        picture = converted or picture
    picture = picture.convert("RGB")
    if alpha is not None:
        picture.putalpha(alpha)
    return picture


def _rendition(picture: "Image", width: int) -> Rendition:
    from PIL import Image

    height = max(1, round(picture.height * width / picture.width))
    made = picture.copy() if width == picture.width else picture.resize((width, height), Image.Resampling.LANCZOS)
    made.info = {}  # else the encoder writes what it finds here: profile, EXIF, XMP
    file = io.BytesIO()
    made.save(file, "WEBP", quality=_QUALITY, method=4)
    return Rendition(made.width, made.height, file.getvalue())


def _damaged(error: Exception) -> Exception:
    """A decoder raises whatever it likes at a damaged file; want of memory is ours and not the file's."""
    return error if isinstance(error, MemoryError) else RefusedPicture("damaged")
