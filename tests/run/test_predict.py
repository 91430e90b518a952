"""`netspec predict` and `netspec sample`."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from netspec.cli import main
from netspec.run.checkpoint import load_checkpoint, read_checkpoint
from netspec.run.data.idx import EMBEDDED, read_idx
from netspec.run.sample import sample_text
from tests.run.small_runs import TEXT, digits, language

_COUNT = 200


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test digits as PNG files, each in a folder of its class."""
    folder = tmp_path_factory.mktemp("images")
    pixels = read_idx(EMBEDDED / "mnist5k" / "t10k-images-idx3-ubyte.gz", 3)
    labels = read_idx(EMBEDDED / "mnist5k" / "t10k-labels-idx1-ubyte.gz", 1)
    for index in range(0, 1000, 1000 // _COUNT):
        path = folder / str(int(labels[index])) / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[index].numpy()).save(path)
    return folder


def predicted(to: Path, *arguments: str) -> list[dict[str, str]]:
    assert main(["predict", str(digits()), *arguments, "--csv", str(to), "--device", "cpu"]) == 0
    with open(to, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def right(rows: list[dict[str, str]]) -> float:
    hits = [Path(row["file"]).parent.name == row["class_1"] for row in rows]
    return sum(hits) / len(hits)


def test_digits_are_told_apart(images: Path, tmp_path: Path) -> None:
    rows = predicted(tmp_path / "a.csv", str(images))
    assert len(rows) == _COUNT and right(rows) >= 0.9
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)


def test_a_prediction_is_that_of_the_model_on_its_data(images: Path, tmp_path: Path) -> None:
    """What predict makes of a file is what the data makes of the same image."""
    from netspec.run.data.sources import open_data

    run = read_checkpoint(digits() / "checkpoints" / "best.safetensors")
    data = open_data(run.info["run"]["data"])
    assert data.test is not None
    file = sorted(images.rglob("*.png"))[0]
    (inputs,), _ = data.test.batch(torch.tensor([int(file.stem)]))
    with torch.inference_mode():
        probabilities = load_checkpoint(digits())(inputs).softmax(1)[0]
    (row,) = predicted(tmp_path / "a.csv", str(file), "--top", "10")
    shares = [float(row[f"probability_{number}"]) for number in range(1, 11)]
    assert shares == pytest.approx(sorted(probabilities.tolist(), reverse=True), abs=1e-6)


def test_dark_ink_on_white_paper(images: Path, tmp_path: Path) -> None:
    """Larger colour photos of inverted digits, as they come from a phone."""
    paper = tmp_path / "paper"
    for path in sorted(images.rglob("*.png"))[::4]:
        to = paper / path.parent.name / f"{path.stem}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(path).point(lambda value: 255 - value)
        image.convert("RGB").resize((112, 112)).save(to)
    assert right(predicted(tmp_path / "a.csv", str(paper), "--invert")) >= 0.85
    assert right(predicted(tmp_path / "b.csv", str(paper))) < 0.5


def test_a_broken_image_is_told_and_skipped(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    good = sorted(images.rglob("*.png"))[0]
    assert main(["predict", str(digits()), str(tmp_path), str(good), "--top", "1"]) == 1
    told = capsys.readouterr()
    assert told.err.count("error[NS602]: `broken.png` cannot be read as an image") == 1
    lines = told.out.splitlines()
    assert len(lines) == 2 and lines[1].split()[:2] == [str(good), "0"]


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(digits()), str(tmp_path), "nothing.png"]) == 1
    told = capsys.readouterr().err
    assert "there are no images in this folder" in told
    assert "error[NS601]: there is no file `nothing.png`" in told


def test_a_language_model_predicts_no_images(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(language()), str(images)]) == 1
    assert "error[NS704]" in capsys.readouterr().err


# Texts


def facts() -> dict[str, object]:
    info = read_checkpoint(language() / "checkpoints" / "best.safetensors").info
    return dict(info["data"]["facts"])


def test_a_text_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "the cat", "--length", "60", "--temperature", "0.5"]
    assert main(["sample", str(language()), *arguments]) == 0
    told = capsys.readouterr().out
    assert told.startswith("the cat") and len(told) == 7 + 60 + 1
    assert set(told) <= set(TEXT)


def test_a_seed_fixes_the_text() -> None:
    model = load_checkpoint(language())
    first, again, other = (sample_text(model, facts(), length=80, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 80


def test_sampling_leaves_mode_and_random_state() -> None:
    model = load_checkpoint(language()).train()
    before = torch.get_rng_state()
    greedy = sample_text(model, facts(), "the", 40, temperature=0.0)
    assert model.training and torch.equal(torch.get_rng_state(), before)
    assert greedy == sample_text(model, facts(), "the", 40, temperature=5.0, top_k=1)


def test_a_long_prompt_is_cropped_to_the_context() -> None:
    model = load_checkpoint(language())
    long = sample_text(model, facts(), TEXT[:200], 30, temperature=0.0)
    short = sample_text(model, facts(), TEXT[184:200], 30, temperature=0.0)
    assert long[-30:] == short[-30:]


def test_bytes() -> None:
    model = torch.nn.Embedding(256, 256)
    text = sample_text(model, {"context": 8, "bytes": True}, "é", 20)
    assert text.startswith("é")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", "the CAT"], "error[NS702]: the model was trained on a text without 'C', 'A'"),
        (["--device", "tpu"], "error[NS705]"),
    ],
)
def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["sample", str(language()), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_classifier_writes_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(digits())]) == 1
    assert "was not trained on text, but on mnist5k" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--length", "x"], ["--temperature", "-1"], ["--top-k", "0"], ["--seed", "-1"]]
)
def test_numbers_are_checked(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sample", "nowhere", *arguments])
    assert f"argument {arguments[0]}: `{arguments[1]}` is not a" in capsys.readouterr().err
