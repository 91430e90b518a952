"""Random changes of a training batch of images, all images of it at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NO_CLASS = -100
"""The class of a pixel that belongs to none: what torch's cross_entropy leaves out by default."""

_DRAWS = 5  # for each image: down, right, flip, angle, factor


@dataclass(frozen=True)
class Augment:
    """How images are changed: moved by up to `shift` pixels, mirrored, turned by up to `rotate`
    degrees, and made up to the fraction `scale` larger or smaller.

    What comes in from outside an image is `fill` [C, 1, 1], the normalised black. Where the
    target is a mask, it is moved along, and has NO_CLASS there.
    """

    shift: int
    flip: bool
    rotate: float
    scale: float
    fill: Tensor
    mask: bool = False

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """What chance says for this many images: [count, 5], each from 0 to 1."""
        return torch.rand(count, _DRAWS, generator=generator)

    def __call__(
        self, batch: tuple[tuple[Tensor, ...], Tensor], draws: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The batch with its first input changed as `draw` said, an image a row."""
        (images, *others), target = batch
        images = self._changed(images, draws, self.fill, "bilinear")
        if self.mask:
            empty = torch.full((1, 1, 1), float(NO_CLASS))
            masks = self._changed(target.unsqueeze(1).float(), draws, empty, "nearest")
            target = masks.squeeze(1).long()
        return (images, *others), target

    def _changed(self, images: Tensor, draws: Tensor, fill: Tensor, mode: str) -> Tensor:
        if self.rotate or self.scale:
            images = _turned(images, self._matrices(images, draws), fill, mode)
        if self.flip:
            images = torch.where(draws[:, 2].lt(0.5).view(-1, 1, 1, 1), images.flip(-1), images)
        if self.shift:
            moves = draws[:, :2].mul(2 * self.shift + 1).long().clamp_(max=2 * self.shift)
            images = _moved(images, moves, self.shift, fill)
        return images

    def _matrices(self, images: Tensor, draws: Tensor) -> Tensor:
        """The 2×3 matrices of affine_grid, whose coordinates go from -1 to 1 in both directions."""
        angle = (draws[:, 3] * 2 - 1) * (self.rotate * math.pi / 180)
        factor = 1 + (draws[:, 4] * 2 - 1) * self.scale
        height, width = images.shape[-2:]
        cos, sin = angle.cos() / factor, angle.sin() / factor
        matrices = torch.zeros(len(draws), 2, 3)
        matrices[:, 0, 0], matrices[:, 0, 1] = cos, -sin * height / width
        matrices[:, 1, 0], matrices[:, 1, 1] = sin * width / height, cos
        return matrices


def _turned(images: Tensor, matrices: Tensor, fill: Tensor, mode: str) -> Tensor:
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    inner = images - fill
    return functional.grid_sample(inner, grid, mode=mode, align_corners=False) + fill


def _moved(images: Tensor, moves: Tensor, most: int, fill: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    padded = fill.expand(count, channels, height + 2 * most, width + 2 * most).clone()
    padded[:, :, most : most + height, most : most + width] = images
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count), :, moves[:, 0], moves[:, 1]]
