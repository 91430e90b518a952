"""Which bytes of a storage a tensor covers, and whether two cover the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_MOST = 4_000_000  # elements that are compared one by one; larger ones count as overlapping


@dataclass(frozen=True, slots=True)
class Region:
    """A strided part of a storage; sizes and strides are in elements of `width` bytes."""

    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    width: int

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bounds(self) -> tuple[int, int]:
        """The first byte, and the one after the last."""
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return self.offset * self.width, (self.offset + reach + 1) * self.width

    @property
    def is_dense(self) -> bool:
        low, high = self.bounds
        return high - low == self.elements * self.width and not self.overlaps_itself

    @property
    def overlaps_itself(self) -> bool:
        """Whether two of its elements may be one, as after `expand`."""
        steps = sorted(
            (step, size) for size, step in zip(self.shape, self.stride, strict=True) if size > 1
        )
        reach = 0
        for step, size in steps:
            if step <= reach:
                return True
            reach += step * (size - 1)
        return False


def region_of(tensor: torch.Tensor) -> Region:
    """The bytes of a tensor's storage that are its own."""
    offset = int(tensor.storage_offset())
    return Region(offset, tuple(tensor.shape), tuple(tensor.stride()), tensor.element_size())


def overlap(one: Region, other: Region) -> bool:
    """Whether two regions of one storage share a byte; True where that is too much to find out."""
    if not one.elements or not other.elements:
        return False
    (low, high), (other_low, other_high) = one.bounds, other.bounds
    if high <= other_low or other_high <= low:
        return False
    if one.is_dense or other.is_dense:
        dense, loose = (one, other) if one.is_dense else (other, one)
        if loose.is_dense or _holds(dense.bounds, loose.bounds):
            return True
    if one.width != other.width or max(one.elements, other.elements) > _MOST:
        return True
    return bool(torch.isin(_elements(one), _elements(other)).any())


def _holds(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _elements(region: Region) -> torch.Tensor:
    found = torch.tensor([region.offset])
    for size, step in zip(region.shape, region.stride, strict=True):
        found = (found[:, None] + torch.arange(size) * step).reshape(-1)
    return found
