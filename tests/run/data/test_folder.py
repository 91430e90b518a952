"""Folders of image files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from netspec.errors import RunError
from netspec.run.data.batches import Batches
from netspec.run.data.dataset import Data
from netspec.run.data.decode import ENDINGS
from netspec.run.data.folder import FileExamples
from netspec.run.data.sources import open_data


def save(path: Path, size: tuple[int, int] = (6, 4), colour: object = (10, 20, 30)) -> Path:
    """An image file of this (width, height) and colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGB" if isinstance(colour, tuple) else "L"
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]
    return path


def opened(root: Path, **options: object) -> Data:
    plain = {"validation": 0, "normalize": "none"}
    return open_data({"source": "image_folder", "root": str(root), **plain, **options})


def message(root: Path, **options: object) -> str:
    with pytest.raises(RunError) as caught:
        opened(root, **options)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def classes(root: Path, count: int = 3) -> Path:
    for number in range(count):
        save(root / "cat" / f"{number}.png", colour=(number, 0, 0))
        save(root / "dog" / f"{number}.jpg", colour=(0, 200, 0))
    return root


def test_a_folder_a_class(tmp_path: Path) -> None:
    data = opened(classes(tmp_path))
    assert data.classes == ("cat", "dog") and data.train and data.test is None
    (images,), labels = data.train.batch(torch.arange(6))
    assert images.shape == (6, 3, 4, 6)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(images[2, :, 0, 0], torch.tensor([2.0, 0.0, 0.0]) / 255)


def test_splits_of_its_own(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        classes(tmp_path / split, 2)
    data = opened(tmp_path, validation=0.5, size=4, channels=1, limit=2)
    assert data.train and data.validation and data.test
    assert [len(s) for s in (data.train, data.validation, data.test)] == [2, 2, 2]
    assert data.inputs[0].shape == (1, 4, 4) and data.gives["image_size"] == 4
    assert data.train.batch(torch.arange(2))[1].tolist() == [0, 1]


def test_the_middle_is_cut_out(tmp_path: Path) -> None:
    image = Image.new("L", (8, 2))
    image.putpixel((4, 0), 255)
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "0.png")
    data = opened(tmp_path, size=2, channels=1)
    assert data.train
    (images,), _ = data.train.batch(torch.tensor([0]))
    assert images[0, 0].tolist() == [[0, 1], [0, 0]]


def test_decoding_late_changes_nothing(tmp_path: Path) -> None:
    classes(tmp_path)
    for normalize in ("auto", "none"):
        early = opened(tmp_path, normalize=normalize, size=4)
        late = opened(tmp_path, normalize=normalize, size=4, in_memory=False)
        assert early.train and isinstance(late.train, FileExamples)
        assert early.facts == late.facts
        indices = torch.tensor([5, 0])
        one, two = early.train.batch(indices), late.train.batch(indices)
        assert torch.equal(one[0][0], two[0][0]) and torch.equal(one[1], two[1])


def test_workers_decode_the_same(tmp_path: Path) -> None:
    data = opened(classes(tmp_path), in_memory=False, augment={"shift": 1, "flip": True})
    assert data.train
    loaders = [
        Batches(data.train, 2, shuffle=True, seed=0, workers=n, augment=data.augment)
        for n in (0, 1)
    ]
    for one, two in zip(*loaders, strict=True):
        assert torch.equal(one[0][0], two[0][0]) and torch.equal(one[1], two[1])


def segments(root: Path) -> Path:
    for name, value in (("a", 0), ("b", 2), ("c", 255)):
        save(root / "images" / f"{name}.jpg")
        save(root / "masks" / f"{name}.png", colour=value)
    return root


@pytest.mark.parametrize("in_memory", [True, False])
def test_masks(tmp_path: Path, in_memory: bool) -> None:
    data = opened(segments(tmp_path), masks="masks", in_memory=in_memory, augment={"shift": 1})
    assert data.task == "segmentation" and data.classes == ("0", "1", "2")
    assert data.target.shape == (4, 6) and data.augment and data.augment.mask
    assert data.train
    _, target = data.train.batch(torch.arange(3))
    assert target.dtype == torch.int64 and target.shape == (3, 4, 6)
    assert target[:, 0, 0].tolist() == [0, 2, -100]


def test_wrong_masks(tmp_path: Path) -> None:
    segments(tmp_path)
    path = tmp_path / "masks" / "b.png"
    assert message(tmp_path, masks="masks", classes=2) == (
        f"error[NS604]: a pixel of `b.png` is 2, none of the 2 classes\n --> {path}"
    )
    save(path)
    assert message(tmp_path, masks="masks") == (
        "error[NS602]: `b.png` is no mask: its pixels are `RGB`\n"
        f" --> {path}\n"
        "  = help: a mask is a grey or palette image whose pixels are numbers of classes"
    )
    path.unlink()
    assert message(tmp_path, masks="masks") == (
        f"error[NS601]: `b.jpg` has no mask in `masks`\n --> {tmp_path / 'images' / 'b.jpg'}"
    )
    assert message(tmp_path, masks="labels") == (
        f"error[NS601]: there is no folder `labels`\n --> {tmp_path}"
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        f"error[NS601]: there are no folders with images here, one for each class\n --> {tmp_path}"
    )


def test_a_class_that_training_does_not_have(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    save(tmp_path / "test" / "cow" / "0.png")
    assert message(tmp_path) == (
        "error[NS604]: `cow` is none of the 2 classes to train on\n"
        f" --> {tmp_path / 'test' / 'cow'}\n"
        "  = help: they are cat, dog"
    )


def test_sizes_that_differ(tmp_path: Path) -> None:
    classes(tmp_path)
    path = save(tmp_path / "dog" / "9.png", size=(5, 5))
    assert message(tmp_path) == (
        "error[NS605]: `9.png` is 5×5, and `0.png` is 4×6\n"
        f" --> {path}\n"
        "  = help: say `data.size=…`: images are then resized and cut to it"
    )


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    path = classes(tmp_path) / "cat" / "1.png"
    whole = path.read_bytes()
    path.write_text("no image")
    expected = f"error[NS602]: `1.png` cannot be read as an image\n --> {path}"
    assert message(tmp_path) == message(tmp_path, size=4) == expected
    path.write_bytes(whole[:50])
    assert message(tmp_path, size=4).startswith("error[NS602]: `1.png` cannot be read as an image")


@pytest.mark.parametrize("ending", [*sorted(ENDINGS), ".several.jpg"])
def test_every_format_that_is_read(tmp_path: Path, ending: str) -> None:
    """A JPEG file of several pictures, as cameras write, is one too."""
    for name in ("cat", "dog"):
        path = tmp_path / name / f"1{ending}"
        path.parent.mkdir()
        image = Image.new("L", (6, 6), 100)
        more = {"format": "MPO", "save_all": True, "append_images": [image]}
        image.save(path, **(more if "several" in ending else {}))
    data = open_data({"source": "image_folder", "root": str(tmp_path), "validation": 0})
    assert data.train is not None and len(data.train) == 2


def test_pillow_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netspec.run.data.sources.find_spec", lambda name: None)
    assert message(tmp_path) == (
        "error[NS605]: image files are read with Pillow, which is not installed\n"
        " --> from data.source=image_folder\n"
        "  = help: `pip install pillow`"
    )
