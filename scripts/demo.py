"""One spec, its model, its source and its two forms: what `python3 scripts/dev.py demo` shows."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import netspec

SPEC = Path(__file__).resolve().parent.parent / "configs" / "model" / "lenet.yaml"


def main() -> None:
    model = netspec.build(SPEC, act="module", seed=0).eval()
    twin = netspec.build(SPEC, act="functional", seed=0).eval()

    title("The spec: configs/model/lenet.yaml")
    print(SPEC.read_text(encoding="utf-8").rstrip())

    title("Its parameters")
    print_parameters(model)

    title("Its source, as netspec.to_python writes it")
    print(netspec.to_python(SPEC).rstrip())

    title("Its two forms, on four images of 28 x 28")
    print_forms(model, twin)


def print_parameters(model: torch.nn.Module) -> None:
    sizes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    width = max(map(len, sizes))
    for name, size in sizes.items():
        print(f"{name:<{width}}  {' x '.join(map(str, size))}")
    print(f"{'together':<{width}}  {sum(p.numel() for p in model.parameters()):,}")


def print_forms(model: torch.nn.Module, twin: torch.nn.Module) -> None:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs = {"act=module": model(images), "act=functional": twin(images)}
    for form, output in outputs.items():
        first = " ".join(f"{value:+.4f}" for value in output[0].tolist())
        print(f"{form:<16}{first}")
    equal_outputs = torch.equal(*outputs.values())
    equal_keys = list(model.state_dict()) == list(twin.state_dict())
    print(f"equal outputs: {yes(equal_outputs)}; equal keys: {yes(equal_keys)}")
    if not (equal_outputs and equal_keys):
        sys.exit("the two forms differ")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def yes(fact: bool) -> str:
    return "yes" if fact else "NO"


if __name__ == "__main__":
    main()
