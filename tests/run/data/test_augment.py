"""What augmentation does to a batch."""

from __future__ import annotations

import torch

from netspec.run.data.augment import NO_CLASS, Augment


def augment(mask: bool = False, **options: float) -> Augment:
    plain = {"shift": 0, "flip": False, "rotate": 0.0, "scale": 0.0}
    fill = torch.tensor([[[-1.0]]])
    return Augment(**{**plain, **options}, fill=fill, mask=mask)  # type: ignore[arg-type]


def changed(change: Augment, images: torch.Tensor, draws: list[list[float]]) -> torch.Tensor:
    (out,), _ = change(((images,), torch.zeros(len(images))), torch.tensor(draws))
    return out


IMAGE = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])


def test_shift_moves_and_fills_with_black() -> None:
    out = changed(augment(shift=1), IMAGE, [[0.0, 0.5, 0, 0, 0]])
    assert out.tolist() == [[[[-1, -1, -1], [1, 2, 3]]]]
    out = changed(augment(shift=1), IMAGE, [[0.5, 0.99, 0, 0, 0]])
    assert out.tolist() == [[[[2, 3, -1], [5, 6, -1]]]]


def test_flip_mirrors_half_of_the_images() -> None:
    out = changed(
        augment(flip=True), IMAGE.repeat(2, 1, 1, 1), [[0, 0, 0.4, 0, 0], [0, 0, 0.6, 0, 0]]
    )
    assert torch.equal(out[0], IMAGE[0].flip(-1))
    assert torch.equal(out[1], IMAGE[0])


def test_no_angle_and_no_factor_change_nothing() -> None:
    out = changed(augment(rotate=30.0, scale=0.5), IMAGE, [[0, 0, 0, 0.5, 0.5]])
    torch.testing.assert_close(out, IMAGE)


def test_a_right_angle_turns_the_pixels() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    out = changed(augment(rotate=90.0), image, [[0, 0, 0, 1.0, 0]])
    torch.testing.assert_close(out[0, 0], torch.rot90(image[0, 0], 1))


def test_a_mask_moves_along() -> None:
    masks = torch.tensor([[[0, 1, 2], [3, 4, 5]]])
    draws = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.5]])
    change = augment(mask=True, shift=1, flip=True, rotate=10.0)
    (images,), target = change(((IMAGE,), masks), draws)
    assert target.tolist() == [[[NO_CLASS] * 3, [2, 1, 0]]]
    assert target.dtype == torch.int64
    torch.testing.assert_close(images[0, 0, 1], torch.tensor([3.0, 2.0, 1.0]))
