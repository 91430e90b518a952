"""`netspec sample`: a text that a language model writes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netspec.errors import Diagnostic, Origin, RunError, Span, SpecError
from netspec.plugins import enabled
from netspec.reporting.terminal import print_error
from netspec.run.arguments import add_plugins, count, positive, whole
from netspec.run.checkpoint import read_checkpoint
from netspec.run.checkpoint_path import find_checkpoint
from netspec.run.data_compatibility import named_outputs
from netspec.run.device import find_device
from netspec.run.terminal import say
from netspec.run.training_info import TextFacts, read_text_facts, read_trained

_BYTES = 256


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What numbers stand for: the characters in this order, or bytes where there are none."""

    characters: str | None

    def __len__(self) -> int:
        return _BYTES if self.characters is None else len(self.characters)

    def numbers(self, text: str) -> list[int]:
        """Raises RunError (NS702) for characters that it does not have."""
        if self.characters is None:
            return list(text.encode())
        strange = [c for c in dict.fromkeys(text) if c not in self.characters]
        if strange:
            shown = ", ".join(map(repr, strange[:12]))
            fact = f"the model was trained on a text without {shown}"
            help = f"it knows these characters: {self.characters!r}"
            raise RunError(
                Diagnostic(
                    "NS702", fact, Span.of(Origin("option", "--prompt", "--prompt")), help=help
                )
            )
        return [self.characters.index(character) for character in text]

    def text(self, numbers: Sequence[int]) -> str:
        if self.characters is None:
            return bytes(numbers).decode("utf-8", errors="replace")
        return "".join(self.characters[number] for number in numbers)

    def start(self) -> int:
        """What a text begins after: a new line, or the first character there is."""
        if self.characters is None:
            return ord("\n")
        return max(0, self.characters.find("\n"))


def sample_text(
    model: nn.Module,
    facts: Mapping[str, Any] | TextFacts,
    prompt: str = "",
    length: int = 500,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """The prompt and `length` more characters (or bytes), as the model goes on, on its device.

    `facts` are those of the data of training; a temperature of 0 takes the likeliest each time.
    The model's mode and torch's random state stay as they were. Raises RunError (NS702) for a
    prompt that has unknown characters.
    """
    known = facts if isinstance(facts, TextFacts) else TextFacts.model_validate(dict(facts))
    vocabulary = Vocabulary(None if known.bytes else known.characters)
    given = vocabulary.numbers(prompt)
    generator = torch.Generator().manual_seed(seed)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def choose(scores: Tensor) -> int:
        return _choose(scores[: len(vocabulary)], temperature, top_k, generator)

    mode = model.training
    model.eval()
    try:
        with torch.inference_mode():
            start = given or [vocabulary.start()]
            written = _written(model, start, length, known.context, device, choose)
    finally:
        model.train(mode)
    return vocabulary.text([*given, *written])


def _written(
    model: nn.Module,
    start: Sequence[int],
    length: int,
    context: int,
    device: torch.device,
    choose: Callable[[Tensor], int],
) -> list[int]:
    """The numbers that follow. The model always sees a whole window, as in training: a text that
    is shorter stands at its beginning, and what is behind it can't matter to a model that was
    trained to predict each next character."""
    numbers = list(start)
    for _ in range(length):
        seen = numbers[-context:]
        window = torch.zeros(1, context, dtype=torch.int64)
        window[0, : len(seen)] = torch.tensor(seen)
        scores = next(iter(named_outputs(model(window.to(device))).values()))
        if scores.ndim != 3 or len(scores) != 1:
            fact = f"the model gives {list(scores.shape)} for one text, and not one row of scores "
            fact += "for each of its characters"
            raise RunError(Diagnostic("NS603", fact, Span.whole("checkpoint's model")))
        numbers.append(choose(scores[0, len(seen) - 1].float().cpu()))
    return numbers[len(start) :]


def _choose(
    scores: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> int:
    if temperature == 0:
        return int(scores.argmax())
    scores = scores / temperature
    if top_k is not None and top_k < len(scores):
        least = scores.topk(top_k).values[-1]
        scores = scores.masked_fill(scores < least, float("-inf"))
    return int(torch.multinomial(scores.softmax(0), 1, generator=generator))


def sample_command(arguments: Sequence[str]) -> int:
    """Write a text to stdout; gives the exit status."""
    options = _parser().parse_args(list(arguments))
    try:
        checkpoint = read_checkpoint(find_checkpoint(options.checkpoint))
        facts = read_text_facts(read_trained(checkpoint), checkpoint)
        device = find_device(options.device).torch
        with enabled(options.plugin):
            model = checkpoint.build().eval().float().to(device)
        text = sample_text(
            model,
            facts,
            options.prompt,
            options.length,
            options.temperature,
            options.top_k,
            options.seed,
        )
    except SpecError as error:
        print_error(error)
        return 1
    say(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netspec sample", description="Let a language model go on with a text."
    )
    parser.add_argument("checkpoint", help="a run's folder, or a .safetensors file")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="how the text begins")
    parser.add_argument(
        "--length",
        type=whole,
        default=500,
        metavar="N",
        help="how many characters, or bytes (default: 500)",
    )
    parser.add_argument(
        "--temperature",
        type=positive,
        default=0.8,
        metavar="T",
        help="0: always the likeliest; 1: as likely as the model says (default: 0.8)",
    )
    parser.add_argument(
        "--top-k", type=count, metavar="N", help="only of the N likeliest (default: of all)"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default: 0")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add_plugins(parser)
    return parser
