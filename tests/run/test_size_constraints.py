"""A run whose data has sizes that the network does not take is told which, and what would do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netspec.errors import RunError
from netspec.pipeline import compile_spec
from netspec.run.data_compatibility import run_placed
from tests.features import SPECS


def refusal(folder: Path, *shape: int) -> RunError:
    spec = folder / "unet.yaml"
    spec.write_text((SPECS / "unet.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    compiled = compile_spec(spec)
    with pytest.raises(RunError) as found:
        run_placed(compiled.built.empty(), [torch.zeros(shape, device="meta")], compiled)
    return found.value


def test_the_constraint_and_a_mend_are_told(tmp_path: Path) -> None:
    diagnostic = refusal(tmp_path, 2, 3, 30, 30).diagnostics[0]
    assert diagnostic.span.line == 23
    assert diagnostic.notes == (
        "the sizes are N = 2, H = 30, W = 30",
        "valid for: H, W: multiples of 4 (cat1, unet.yaml:26)",
    )
    resized = "data.size=32 resizes the images of a folder"
    assert diagnostic.help == f"H = 32, W = 32 would do: {resized}; or {PADDED}"


PADDING = '{call: pad, pad: "=(0, -x.shape[3] % 4, 0, -x.shape[2] % 4)"}'
PADDED = f"`{PADDING}` as the first layer"


def test_sides_that_differ_are_told_each(tmp_path: Path) -> None:
    help = refusal(tmp_path, 2, 3, 41, 64).diagnostics[0].help
    resized = "H = 44 would do: data.size=[44,64] resizes the images of a folder"
    assert help == f"{resized}; or {PADDED}"


def test_padding_as_the_first_layer_mends(tmp_path: Path) -> None:
    text = (SPECS / "unet.yaml").read_text(encoding="utf-8")
    spec = tmp_path / "unet.yaml"
    padded = text.replace("\nlayers:\n", f"\nlayers:\n  padded: {PADDING}\n", 1)
    spec.write_text(padded, encoding="utf-8")
    compiled = compile_spec(spec)
    out = run_placed(compiled.built.empty(), [torch.zeros(2, 3, 30, 41, device="meta")], compiled)
    assert isinstance(out, torch.Tensor) and out.shape[2:] == (32, 44)


def test_what_is_no_matter_of_sizes_is_told_as_before(tmp_path: Path) -> None:
    diagnostic = refusal(tmp_path, 2, 5, 32, 32).diagnostics[0]
    assert diagnostic.notes == () and diagnostic.help is None
