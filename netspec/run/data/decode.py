"""Image files → bytes of one size."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
# A name says little: Pillow would try all that it knows, and start Ghostscript for PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    OverflowError, MemoryError, EOFError, RuntimeError, NotImplementedError, struct.error,
    zlib.error, Image.DecompressionBombError,
)  # fmt: skip
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Decoder:
    """How files become images of `size` (height, width) and so many channels.

    The image is resized so that it covers that size, and its middle is cut out.
    """

    channels: int
    size: tuple[int, int]

    def images(self, paths: Sequence[Path]) -> Tensor:
        """Files → [N, C, H, W] bytes. Raises RunError: NS602 for what is no image."""
        return torch.stack([self._image(path) for path in paths])

    def masks(self, paths: Sequence[Path]) -> Tensor:
        """Files → [N, H, W] bytes, the numbers that their pixels hold."""
        return torch.stack([self._mask(path) for path in paths])

    def _image(self, path: Path) -> Tensor:
        image = opened(path).convert(_MODES[self.channels])
        pixels = _bytes(self._cut(image, Image.Resampling.BILINEAR))
        return pixels.view(*self.size, self.channels).permute(2, 0, 1)

    def _mask(self, path: Path) -> Tensor:
        image = opened(path)
        if image.mode not in ("L", "P", "1"):
            fact = f"`{path.name}` is no mask: its pixels are `{image.mode}`"
            help = "a mask is a grey or palette image whose pixels are numbers of classes"
            raise RunError(Diagnostic("NS602", fact, Span(str(path)), help=help))
        return _bytes(self._cut(image, Image.Resampling.NEAREST))

    def _cut(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        height, width = self.size
        if (image.width, image.height) == (width, height):
            return image
        factor = max(width / image.width, height / image.height)
        larger = (
            max(width, round(image.width * factor)),
            max(height, round(image.height * factor)),
        )
        image = image.resize(larger, resampling)
        left, top = (larger[0] - width) // 2, (larger[1] - height) // 2
        return image.crop((left, top, left + width, top + height))


def _open(path: Path) -> Image.Image:
    """A file of the formats whose endings are read. Raises some of _BROKEN."""
    if not path.is_file():
        raise ValueError("it is no plain file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Pillow passes over in a file
        return Image.open(path, formats=_FORMATS)


def opened(path: Path) -> Image.Image:
    """A file's image, turned as its EXIF data says. Raises RunError: NS602."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an odd but readable file
            with _open(path) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except _BROKEN as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
        fact = f"`{path.name}` cannot be read as an image{reason}"
        raise RunError(Diagnostic("NS602", fact, Span(str(path)))) from None


def size_for(paths: Sequence[Path], size: int | list[int] | None) -> tuple[int, int]:
    """Height and width for these files: as given, or the one that they all have.

    Raises RunError: NS605 where no size is given and they differ.
    """
    if isinstance(size, int):
        return size, size
    if size is not None:
        return size[0], size[1]
    found = _sizes(paths)
    first = next(found)
    for path, other in zip(paths[1:], found, strict=True):
        if other != first:
            here, there = (f"{height}×{width}" for height, width in (other, first))
            fact = f"`{path.name}` is {here}, and `{paths[0].name}` is {there}"
            help = "say `data.size=…`: images are then resized and cut to it"
            raise RunError(Diagnostic("NS605", fact, Span(str(path)), help=help))
    return first


def _sizes(paths: Sequence[Path]) -> Iterator[tuple[int, int]]:
    for path in paths:
        try:
            with _open(path) as image:
                turned = image.getexif().get(0x0112, 1) >= 5
                yield (image.width, image.height) if turned else (image.height, image.width)
        except _BROKEN:
            fact = f"`{path.name}` cannot be read as an image"
            raise RunError(Diagnostic("NS602", fact, Span(str(path)))) from None


def _bytes(image: Image.Image) -> Tensor:
    return torch.from_numpy(numpy.array(image, dtype=numpy.uint8))
