"""Pictures from anywhere made into ones of ours: decoded, turned upright, made small, encoded anew.

Nothing of the file that came is kept but what can be seen: no place where it was taken, no profile,
no bytes that a browser might take for something else.
"""

from __future__ import annotations

import io

from PIL import Image, ImageCms, ImageOps

from storekeeper.domain.errors import Invalid

# The decoders that are let near a stranger's file.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Looked at before anything is decoded: four bytes each of memory, and those of one picture at once.
MOST_PIXELS = 40_000_000
LARGEST_SIDE = 1_200
QUALITY = 82
_UNREADABLE = "this isn't a picture that can be read; send a JPEG, PNG, WebP or GIF"


def recoded(data: bytes) -> bytes:
    """The picture as WebP, no side longer than 1,200 pixels. Blocking, and takes a second at most.

    Raises `Invalid` for what is no picture, or one too large to be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture)
            # A JPEG of many pixels is decoded at a fraction of its size.
            picture.draft("RGB", (2 * LARGEST_SIDE, 2 * LARGEST_SIDE))
            return _encoded(_as_seen(picture))
    except (Invalid, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception as error:  # of a broken file, decoders raise whatever they stumble over
        raise Invalid(_UNREADABLE, field="image") from error


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large()


def _as_seen(picture: Image.Image) -> Image.Image:
    """Upright, in the colours that its profile means, with what is transparent left so."""
    profile = picture.info.get("icc_profile")
    is_clear = picture.has_transparency_data
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    if profile and upright.mode in ("RGB", "CMYK"):
        upright = _in_srgb(upright, profile)
    return upright.convert("RGBA" if is_clear else "RGB")


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    try:
        changed = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return picture  # a broken profile: as a browser shows it too, without
    return changed or picture


def _encoded(picture: Image.Image) -> bytes:
    """Only the pixels are passed on, so that nothing else of the file can be."""
    pixels = Image.new(picture.mode, picture.size)
    pixels.paste(picture)
    target = io.BytesIO()
    pixels.save(target, "WEBP", quality=QUALITY, method=4)
    return target.getvalue()


def _too_large() -> Invalid:
    return Invalid(
        f"the picture has more than {MOST_PIXELS // 1_000_000} million pixels; make it smaller",
        field="image",
    )
