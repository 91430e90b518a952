"""Parameters that are not trained, by patterns over their paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from netspec.errors import Diagnostic, Origin, RunError, Span, did_you_mean


@dataclass(frozen=True, slots=True)
class Frozen:
    """The parameters that patterns froze, and how many numbers they and all others have."""

    patterns: tuple[str, ...]
    names: tuple[str, ...]
    elements: int
    of: int

    def __str__(self) -> str:
        return f"{', '.join(self.patterns)}: {self.elements:,} of {self.of:,} parameters"


def freeze(model: nn.Module, patterns: str | Sequence[str]) -> Frozen:
    """Take parameters out of training, in place: they no longer require grad.

    A pattern is compared, as file names are, with the path of each parameter and of each module
    above it: `layer1` freezes all below `layer1`, `layer[12]` two of them, `*.bias` all biases.
    Buffers are left alone: running statistics of batch norms go on moving in train mode.
    Raises RunError (NS713) for a pattern that no parameter has.
    """
    return freeze_at(model, [patterns] if isinstance(patterns, str) else patterns, None)


def freeze_at(model: nn.Module, patterns: Sequence[str], span: Span | None) -> Frozen:
    """As freeze, with the patterns told at `span`."""
    own = dict(model.named_parameters(remove_duplicate=False))
    paths = {path for name in own for path in _paths(name)}
    problems: list[Diagnostic] = []
    chosen: dict[str, None] = {}
    for pattern in patterns:
        names = [name for name in own if any(fnmatchcase(p, pattern) for p in _paths(name))]
        chosen.update(dict.fromkeys(names))
        if not names:
            fact = f"`{pattern}` freezes nothing: no parameter has such a path"
            place = span or Span.of(Origin("option", "patterns", repr(pattern)))
            help = did_you_mean(pattern, sorted(paths)) or _top(own)
            problems.append(Diagnostic("NS713", fact, place, help=help))
    if problems:
        raise RunError(problems)
    for name in chosen:
        own[name].requires_grad_(False)
    frozen = {id(own[name]): own[name].numel() for name in chosen}
    total = sum(parameter.numel() for parameter in model.parameters())
    return Frozen(tuple(patterns), tuple(chosen), sum(frozen.values()), total)


def _paths(name: str) -> Iterator[str]:
    """A parameter's path, and those of the modules that it is in."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(len(parts), 0, -1))


def _top(names: dict[str, nn.Parameter]) -> str:
    """The outermost paths that have parameters."""
    tops = list(dict.fromkeys(name.partition(".")[0] for name in names))
    more = ", …" if len(tops) > 20 else ""
    return f"there are {', '.join(tops[:20])}{more}" if tops else "the model has no parameters"
