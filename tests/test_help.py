"""What a message says to write, where no case shows it: found by `scripts/mutate.py`."""

from __future__ import annotations

import pytest

import netspec

HEAD = "netspec: 1\ninputs: {x: [N, 4]}\n"


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("layers: {a: =x, b: {call: zero_, from: x}}", "a value is made anew: `=zeros_like(x)`"),
        ("layers: [nn.Sequential(nn.ReLU())]", "write `{layers: [{act: relu}]}`"),
        (
            "init: {MultiheadAttention.wieght: zeros_}\nlayers:\n"
            "  m: {module: MultiheadAttention, embed_dim: 4, num_heads: 1, from: [x, x, x]}",
            "it has in_proj_weight, in_proj_bias",  # and not those of the Linear in it
        ),
    ],
)  # fmt: skip
def test_help(text: str, help: str) -> None:
    (found,) = netspec.check(netspec.loads(f"{HEAD}{text}\n"))
    assert found.help == help
