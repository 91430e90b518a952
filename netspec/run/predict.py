"""`netspec predict`: image files → their classes, by a checkpoint."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from netspec.display import visible
from netspec.errors import Diagnostic, RunError, Span, SpecError
from netspec.plugins import enabled
from netspec.reporting.terminal import print_error
from netspec.run.arguments import add_plugins, count
from netspec.run.checkpoint import Checkpoint, read_checkpoint
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.classification_report import aligned
from netspec.run.data.decode import ENDINGS, Decoder
from netspec.run.data.images import image_scale
from netspec.run.data.normalize import Moments, Scale
from netspec.run.data_compatibility import named_outputs
from netspec.run.device import find_device
from netspec.run.folder import write_text
from netspec.run.terminal import say
from netspec.run.training_info import read_image_facts, read_trained

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Prediction:
    """A file's most probable classes, best first."""

    file: Path
    best: tuple[tuple[str, float], ...]  # class, probability


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model in eval mode on its device, and what turns a file into its input."""

    model: nn.Module
    decoder: Decoder
    scale: Scale
    classes: tuple[str, ...]
    device: torch.device
    invert: bool

    def input(self, path: Path) -> Tensor:
        """A file's image as the model takes it, without the batch. Raises RunError (NS602)."""
        pixels = self.decoder.images([path])
        return self.scale(255 - pixels if self.invert else pixels)[0]

    def probabilities(self, inputs: Tensor) -> Tensor:
        """[N, classes], on the CPU. Raises RunError: NS603 where the model gives no row each, NS604
        where it has other classes than its checkpoint says."""
        with torch.inference_mode():
            result = self.model(inputs.to(self.device))
        scores = next(iter(named_outputs(result).values())).float().cpu()
        if not scores.ndim or len(scores) != len(inputs):
            fact = f"the model gives {list(scores.shape)} for {len(inputs)} images, "
            fact += "and not one row each"
            raise RunError(Diagnostic("NS603", fact, Span.whole("checkpoint's model")))
        scores = scores.reshape(len(scores), -1)
        if scores.shape[1] == 1:
            positive = scores.sigmoid()
            scores = torch.cat([1 - positive, positive], 1)
        else:
            scores = scores.softmax(1)
        if scores.shape[1] != len(self.classes):
            fact = f"the model tells {scores.shape[1]} classes apart, and it was trained on "
            fact += f"{len(self.classes)}"
            raise RunError(Diagnostic("NS604", fact, Span.whole("checkpoint's model")))
        return scores


def make_classifier(checkpoint: Checkpoint, device: torch.device, invert: bool) -> Classifier:
    """What predicts with a checkpoint. Raises SpecError; RunError (NS703), and NS704 where it was
    not trained to tell classes of images apart."""
    trained = read_trained(checkpoint)
    classes = trained.data.classes
    if trained.task != "classification" or not classes:
        fact = f"`{checkpoint.path.name}` was trained for {trained.task}, not for classification"
        raise RunError(Diagnostic("NS704", fact, Span(str(checkpoint.path))))
    facts = read_image_facts(trained, checkpoint)
    model = checkpoint.build().eval().float().to(device)
    moments = Moments(facts.mean, facts.std) if facts.mean and facts.std else None
    scale = image_scale(moments, (facts.channels, *facts.size))
    decoder = Decoder(facts.channels, facts.size)
    return Classifier(model, decoder, scale, tuple(classes), device, invert)


def predict(
    classifier: Classifier, files: Sequence[Path], top: int
) -> Iterator[Prediction | RunError]:
    """For each file its classes, or what is wrong with it."""
    for start in range(0, len(files), _BATCH):
        read = [_read(classifier, path) for path in files[start : start + _BATCH]]
        inputs = [item for item in read if isinstance(item, Tensor)]
        rows = iter(classifier.probabilities(torch.stack(inputs)) if inputs else ())
        for path, item in zip(files[start : start + _BATCH], read, strict=True):
            yield item if isinstance(item, RunError) else _best(classifier, path, next(rows), top)


def _read(classifier: Classifier, path: Path) -> Tensor | RunError:
    try:
        return classifier.input(path)
    except RunError as error:
        return error


def _best(classifier: Classifier, path: Path, row: Tensor, top: int) -> Prediction:
    values, indices = row.topk(min(top, len(classifier.classes), len(row)))
    names = [classifier.classes[index] for index in indices.tolist()]
    return Prediction(path, tuple(zip(names, values.tolist(), strict=True)))


def find_images(paths: Sequence[str]) -> list[Path]:
    """The files, and all images below the folders, in the order of their names.

    Raises RunError (NS601) for what is not there, and folders without images.
    """
    found: list[Path] = []
    problems: list[Diagnostic] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS)
            found += inside
            if not inside:
                help = f"images are files like {', '.join(sorted(ENDINGS))}"
                fact = "there are no images in this folder"
                problems.append(Diagnostic("NS601", fact, Span(given), help=help))
        elif path.is_file():
            found.append(path)
        else:
            problems.append(Diagnostic("NS601", f"there is no file `{given}`", Span(given)))
    if problems:
        raise RunError(problems)
    return list(dict.fromkeys(found))


def predict_command(arguments: Sequence[str]) -> int:
    """Predict and print a table; 1 where something is wrong with any file."""
    options = _parser().parse_args(list(arguments))
    try:
        files = find_images(options.paths)
        device = find_device(options.device).torch
        checkpoint = read_checkpoint(find_checkpoint(options.checkpoint))
        with enabled(options.plugin):
            classifier = make_classifier(checkpoint, device, options.invert)
            found = list(predict(classifier, files, options.top))
        predictions = [item for item in found if isinstance(item, Prediction)]
        if options.csv:
            write_text(Path(options.csv), _csv(predictions))
    except SpecError as error:
        print_error(error)
        return 1
    if predictions:
        say("\n".join(_table(predictions)))
    broken = [item for item in found if isinstance(item, RunError)]
    for problem in broken:
        print_error(problem)
    return 1 if broken else 0


def _table(predictions: Sequence[Prediction]) -> list[str]:
    rows = [["file", "class", "probability", *[""] * 2 * (len(predictions[0].best) - 1)]]
    for prediction in predictions:
        cells = [(visible(name), f"{share:.4f}") for name, share in prediction.best]
        rows.append([visible(str(prediction.file)), *(cell for pair in cells for cell in pair)])
    return aligned(rows)


def _csv(predictions: Sequence[Prediction]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    most = len(predictions[0].best) if predictions else 1
    heads = [f"{what}_{number}" for number in range(1, most + 1) for what in _COLUMNS]
    writer.writerow(["file", *heads])
    for prediction in predictions:
        writer.writerow([prediction.file, *(cell for pair in prediction.best for cell in pair)])
    return text.getvalue()


_COLUMNS = ("class", "probability")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netspec predict",
        description="Tell the classes of images. They are made grey or coloured, resized, cut and "
        "normalised as in training.",
    )
    parser.add_argument("checkpoint", help="a run's folder, or a .safetensors file")
    parser.add_argument("paths", nargs="+", metavar="path", help="an image, or a folder of them")
    parser.add_argument(
        "--top", type=count, default=3, metavar="N", help="how many classes (default: 3)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV, too")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add_plugins(parser)
    parser.add_argument(
        "--invert",
        action="store_true",
        help="for dark ink on white paper, where training had white on black",
    )
    return parser
