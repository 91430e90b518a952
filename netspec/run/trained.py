"""What a checkpoint says of the run that made it, checked: it may come from anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

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


AnyFacts = TypeVar("AnyFacts", ImageFacts, TextFacts)


def read_facts(kind: type[AnyFacts], trained: Trained, checkpoint: Checkpoint) -> AnyFacts:
    """The facts of this kind. Raises RunError (NS704) where it was trained on other data."""
    try:
        facts = kind.model_validate(dict(trained.data.facts))
    except ValidationError:
        facts = None
    if isinstance(facts, ImageFacts) and _fits(facts):
        return facts
    if isinstance(facts, TextFacts) and (facts.characters or facts.bytes):
        return facts
    what = "images of 1 or 3 channels" if kind is ImageFacts else "text"
    fact = f"`{checkpoint.path.name}` was not trained on {what}, but on {trained.data.name}"
    raise RunError(Diagnostic("NS704", fact, Span(str(checkpoint.path))))


def _fits(facts: ImageFacts) -> bool:
    moments = (facts.mean, facts.std)
    return all(part is None for part in moments) or all(
        part is not None and len(part) == facts.channels for part in moments
    )
