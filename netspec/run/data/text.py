"""Text → Data for language models: windows of characters or bytes, each with what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netspec.errors import Diagnostic, RunError, Span
from netspec.run.data.dataset import Batch, Data, Field, digest
from netspec.run.data.paths import bytes_of, existing
from netspec.run.data.settings import LanguageSettings, TextSettings
from netspec.run.data.split import limited

_BYTES = 256


@dataclass(frozen=True)
class Windows:
    """Stretches of tokens from these starts, `context` long; the target is one further on."""

    tokens: Tensor
    starts: Tensor
    context: int

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, indices: Tensor) -> Batch:
        places = self.starts.index_select(0, indices).unsqueeze(1) + torch.arange(self.context + 1)
        taken = self.tokens[places].long()
        return (taken[:, :-1].contiguous(),), taken[:, 1:].contiguous()

    def fingerprint(self) -> str:
        return digest(self.tokens, self.starts)


def text_data(settings: TextSettings) -> Data:
    """Files → Data. Raises RunError: NS601, NS602, and NS605 where a split is too short."""
    given = [settings.path] if settings.path is None else settings.path
    paths = [file for path in _listed(given) for file in _files(path)]
    name = paths[0].parent.name if len(paths) > 1 else paths[0].stem
    return _data(name, b"\n".join(bytes_of(path) for path in paths), str(paths[0]), settings)


def python_docs_data(settings: LanguageSettings) -> Data:
    """The Python manual's topics, as `help()` shows them, in the order of their names → Data."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    return _data("python_docs", text.encode(), "pydoc_data.topics", settings)


def _listed(given: str | list[str] | list[None]) -> list[str | None]:
    return [given] if isinstance(given, str) else list(given)


def _files(path: str | None) -> list[Path]:
    found = existing(path, "path", "text")
    if not found.is_dir():
        return [found]
    inside = sorted(file for file in found.rglob("*.txt") if file.is_file())
    if not inside:
        raise RunError(Diagnostic("NS601", "there is no `.txt` file here", Span(str(found))))
    return inside


def _data(name: str, raw: bytes, place: str, settings: LanguageSettings) -> Data:
    tokens, vocabulary = _tokens(raw, place, settings.level)
    size = len(vocabulary["characters"]) if "characters" in vocabulary else _BYTES
    held = round(len(tokens) * settings.validation)
    tested = round(len(tokens) * settings.test)
    first, second = len(tokens) - held - tested, len(tokens) - tested
    stride = settings.stride or max(1, settings.context // 2)
    field = Field(None, (settings.context,), torch.int64)
    return Data(
        name=name,
        task="language",
        inputs=(field,),
        target=field,
        classes=None,
        train=_windows(tokens[:first], stride, place, settings),
        validation=_windows(tokens[first:second], settings.context, place, settings)
        if held
        else None,
        test=_windows(tokens[second:], settings.context, place, settings) if tested else None,
        augment=None,
        gives={"vocab_size": size, "num_classes": size, "context": settings.context},
        facts={"task": "language", "context": settings.context, **vocabulary},
    )


def _tokens(raw: bytes, place: str, level: str) -> tuple[Tensor, Mapping[str, Any]]:
    """The text as numbers from 0, and what turns them back: its characters, sorted, or bytes."""
    if level == "bytes":
        return torch.frombuffer(bytearray(raw or b"\0"), dtype=torch.uint8)[: len(raw)], {
            "bytes": True
        }
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        fact = f"the text is not UTF-8: byte 0x{raw[error.start]:02X} begins no character"
        help = "save it as UTF-8, or read it with `data.level=bytes`"
        raise RunError(Diagnostic("NS602", fact, Span(place), help=help)) from None
    characters = "".join(sorted(set(text)))
    number_of = {character: number for number, character in enumerate(characters)}
    numbers = torch.tensor([number_of[character] for character in text], dtype=torch.int32)
    return numbers, {"characters": characters}


def _windows(tokens: Tensor, stride: int, place: str, settings: LanguageSettings) -> Windows:
    last = len(tokens) - settings.context - 1
    if last < 0:
        fact = f"a split of {len(tokens):,} {settings.level} has no window of {settings.context}"
        help = f"a window takes {settings.context + 1:,}, with the one that comes next"
        raise RunError(Diagnostic("NS605", fact, Span(place), help=help))
    starts = limited(torch.arange(0, last + 1, stride), settings.limit)
    return Windows(tokens, starts, settings.context)
