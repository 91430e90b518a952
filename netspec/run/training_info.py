"""What a checkpoint says of the run that made it, checked: it may come from anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.checkpoint import Checkpoint
from netspec.run.settings import Settings, TaskName

_Pixels = Annotated[int, Field(gt=0, le=1 << 14)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class TrainedData(_Frozen):
    """The data of training: its name, its classes, and what a prediction needs."""

    name: str
    classes: tuple[str, ...] | None
    facts: dict[str, Any]
    fingerprint: str | None = None  # of checkpoints from before it was kept


class Trained(_Frozen):
    """The run's settings, its data, and the metrics of its results."""

    run: Settings
    task: TaskName
    data: TrainedData
    metrics_asked: tuple[str, ...]


class ImageFacts(_Frozen):
    """Images as the model takes them; without moments their pixels go from 0 to 1."""

    channels: Literal[1, 3]
    size: tuple[_Pixels, _Pixels]  # height, width
    mean: tuple[float, ...] | None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None


class TextFacts(_Frozen):
    """A text as the model takes it: numbers of its characters, or bytes, and at most how many."""

    context: Annotated[int, Field(gt=0, le=1 << 20)]
    characters: str | None = None
    bytes: bool = False


def read_trained(checkpoint: Checkpoint) -> Trained:
    """What the checkpoint says of its run. Raises RunError (NS703) where that can't be read."""
    try:
        return Trained.model_validate(dict(checkpoint.info))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        fact = (
            f"`{checkpoint.path.name}` does not say how it was trained: "
            f"`{key}`, {problem['msg'][:1].lower()}{problem['msg'][1:]}"
        )
        raise RunError(Diagnostic("NS703", fact, Span(str(checkpoint.path)))) from None


def read_image_facts(trained: Trained, checkpoint: Checkpoint) -> ImageFacts:
    """How images are prepared. Raises RunError (NS704) where it was not trained on images."""
    try:
        facts = ImageFacts.model_validate(dict(trained.data.facts))
    except ValidationError:
        raise _other_data("images of 1 or 3 channels", trained, checkpoint) from None
    if not _fits(facts):
        raise _other_data("images of so many channels", trained, checkpoint)
    return facts


def read_text_facts(trained: Trained, checkpoint: Checkpoint) -> TextFacts:
    """What the numbers of a text mean. Raises RunError (NS704) where it was not trained on one."""
    try:
        facts = TextFacts.model_validate(dict(trained.data.facts))
    except ValidationError:
        raise _other_data("text", trained, checkpoint) from None
    if trained.task != "language" or not (facts.characters or facts.bytes):
        raise _other_data("text", trained, checkpoint)
    return facts


def _other_data(what: str, trained: Trained, checkpoint: Checkpoint) -> RunError:
    fact = f"`{checkpoint.path.name}` was not trained on {what}, but on {trained.data.name}"
    return RunError(Diagnostic("NS704", fact, Span(str(checkpoint.path))))


def _fits(facts: ImageFacts) -> bool:
    moments = (facts.mean, facts.std)
    return all(part is None for part in moments) or all(
        part is not None and len(part) == facts.channels for part in moments
    )
