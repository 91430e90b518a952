"""`verify` looks whether what was registered does what is believed of it, and names what does not.

A fake is Python code's word for it; without one it is the run on `meta`, and of a function with a
twin in place, that the two do the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec.cli import main
from netspec.proof.verify import Verification, verification_text

FC = "  fc: {module: Linear, out_features: 4}\n"


def verified(layers: str, **options: object) -> Verification:
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4]}}\nlayers:\n{FC}{layers}"
    return netspec.verify(netspec.loads(text), **options)


def broken(layers: str) -> str:
    """The one thing that is said of registered layers, of each form that says it."""
    found = verified(layers)
    assert not found.equal
    (row,) = [row for row in found.rows if row.question == "registered layers"]
    (said,) = {answer for answer in row.answers.values() if answer}
    assert said in verification_text(found)
    return said


def same_new(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


# A fake that lies


def test_about_the_shape() -> None:
    def widen(x: Tensor) -> Tensor:
        return torch.cat([x, x, x], 1)

    def fake(x: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], 2 * x.shape[1])

    netspec.register(widen, "liar/widen", fake=fake)
    said = "`liar/widen` (line 6) gives [2, 12], and its fake says [2, 8]"
    assert broken("  a: {call: liar/widen}\n") == said


def test_about_the_dtype() -> None:
    def lower(x: Tensor) -> Tensor:
        return x.half()

    netspec.register(lower, "liar/lower", fake=same_new)
    said = "`liar/lower` (line 6) gives torch.float16, and its fake says torch.float32"
    assert broken("  a: {call: liar/lower}\n") == said


def test_about_new_memory() -> None:
    def kept(x: Tensor) -> Tensor:
        return x.view_as(x)

    netspec.register(kept, "liar/kept", fake=same_new)
    assert broken("  a: {call: liar/kept}\n") == (
        "`liar/kept` (line 6) gives what lies in its input's memory, and its fake says that it is "
        "new memory"
    )


def test_about_its_inputs_memory() -> None:
    def copied(x: Tensor) -> Tensor:
        return x * 1

    def fake(x: Tensor) -> Tensor:
        return x.view_as(x)

    netspec.register(copied, "liar/copied", fake=fake)
    said = "`liar/copied` (line 6) gives new memory, and its fake says that it is its input's"
    assert broken("  a: {call: liar/copied}\n") == said


def test_about_how_many_there_are() -> None:
    def pair(x: Tensor) -> tuple[Tensor, ...]:
        return x * 1, x * 2

    def fake(x: Tensor) -> tuple[Tensor, ...]:
        return x.new_empty(x.shape), x.new_empty(x.shape), x.new_empty(x.shape)

    netspec.register(pair, "liar/pair", fake=fake)
    said = "`liar/pair` (line 6) gives 2 tensors, and its fake says 3"
    assert broken('  a: {call: liar/pair}\n  b: "=a[0] + a[1]"\n') == said


def test_about_a_class() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, ::2]

    def fake(module: nn.Module, x: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], 2)

    netspec.register(Half, "liar/Half", fake=fake)
    assert broken("  a: liar/Half\n") == (
        "`liar/Half` (line 6) gives what lies in its input's memory, and its fake says that it is "
        "new memory"
    )


def test_about_eval_mode_alone() -> None:
    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 1 if self.training else x

    def fake(module: nn.Module, x: Tensor) -> Tensor:
        return x.new_empty(x.shape)

    netspec.register(Late, "liar/Late", fake=fake)
    assert "`liar/Late` (line 6) gives what lies in its input's memory" in broken(
        "  a: liar/Late\n"
    )


def test_inside_of_an_expression_and_of_a_block() -> None:
    def kept(x: Tensor) -> Tensor:
        return x.view_as(x)

    netspec.register(kept, "liar/kept", fake=same_new)
    assert "`liar/kept` (line 6)" in broken("  a: =liar.kept(fc) + 1\n")
    layers = "  b:\n    repeat: 2\n    layers:\n      a: {call: liar/kept}\n"
    assert "`liar/kept` (line 9)" in broken(layers)


# Code that is one on `meta`, and another where there are numbers


def test_another_thing_on_meta() -> None:
    def sly(x: Tensor) -> Tensor:
        return x * 1 if x.device.type == "meta" else x.view_as(x)

    netspec.register(sly, "liar/sly")
    assert broken("  a: {call: liar/sly}\n") == (
        "`liar/sly` (line 6) gives what lies in its input's memory, and its run on `meta` says "
        "that it is new memory"
    )


# Overwriting


def test_it_changes_its_input_silently() -> None:
    def silent(x: Tensor) -> Tensor:
        return x.mul_(2) * 1

    netspec.register(silent, "liar/silent")
    said = "`liar/silent` (line 6) changes its input, and says nothing of it"
    assert broken("  a: {call: liar/silent}\n") == said


def test_a_class_changes_its_input_silently() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(2) * 1

    netspec.register(Silent, "liar/Silent")
    said = "`liar/Silent` (line 6) changes its input, and says nothing of it"
    assert broken("  a: liar/Silent\n") == said


def test_it_changes_its_second_input_silently() -> None:
    def silent(x: Tensor, y: Tensor) -> Tensor:
        return x + y.mul_(2)

    netspec.register(silent, "liar/silent")
    said = "`liar/silent` (line 7) changes its input, and says nothing of it"
    assert broken("  a: =fc * 1\n  b: {call: liar/silent, from: [fc, a]}\n") == said


def plain(x: Tensor) -> Tensor:
    return x + 2


NOT_BUILT = """\
error[NS405]: `a` overwrites its input, and torch cannot do that here
 --> <string>:5:13
5 |   a: {call: liar/plain_}
  |             ^^^^^^^^^^^
  = note: torch: %s
  = help: write `liar/plain`: the same values come out, in new memory"""


def more_(x: Tensor) -> Tensor:
    return x.add_(3)


def steeper_(x: Tensor) -> Tensor:
    return x.mul_(2).add_(2)


@pytest.mark.parametrize(
    ("twin", "note"),
    [(more_, "in place it gives other values"), (steeper_, "its gradient in place is another")],
)
def test_a_twin_that_is_none_cannot_even_be_built(
    twin: Callable[[Tensor], Tensor], note: str
) -> None:
    """Every twin is tried where it is used, before a model is built."""
    netspec.register(plain, "liar/plain", inplace=twin)
    text = f"netspec: 1\ninputs: {{x: [N, 4]}}\nlayers:\n{FC}  a: {{call: liar/plain_}}\n"
    (found,) = netspec.check(netspec.loads(text))
    assert str(found) == NOT_BUILT % note


def test_a_twin_that_gives_other_values_where_it_was_not_tried() -> None:
    def bounded_(x: Tensor) -> Tensor:
        return x.add_(2).clamp_(max=30)

    netspec.register(plain, "liar/plain", inplace=bounded_)
    said = "`liar/plain_` (line 7) gives other values than `liar/plain`, in whose place it is"
    assert broken("  a: =fc * 1000\n  b: {call: liar/plain_}\n") == said


def test_a_twin_that_writes_nothing() -> None:
    def idle_(x: Tensor) -> Tensor:
        return x + 2

    netspec.register(plain, "liar/plain", inplace=idle_)
    said = broken("  a: {call: liar/plain_}\n")
    assert said == "`liar/plain_` (line 6) does not leave its result in its input"


def test_a_twin_that_gives_nothing_back() -> None:
    def silent_(x: Tensor) -> None:
        x.mul_(2)

    netspec.register(plain, "liar/plain", inplace=silent_)
    text = (
        f"netspec: 1\ninputs: {{x: [N, 4]}}\nlayers:\n{FC}  a: {{call: liar/plain_}}\n  b: relu\n"
    )
    (found,) = netspec.check(netspec.loads(text))
    assert found.span.line == 5 or found.span.line == 6


def test_a_twin_that_overwrites_its_second_input_too() -> None:
    def add(x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def add_(x: Tensor, y: Tensor) -> Tensor:
        x.add_(y)
        y.zero_()
        return x

    netspec.register(add, "liar/add", inplace=add_)
    said = broken("  a: =fc * 2\n  b: {call: liar/add_, from: [fc, a]}\n")
    assert said == "`liar/add_` (line 7) overwrites more than its first input"


def test_a_class_whose_form_in_place_gives_other_values() -> None:
    """It is tried, too, and `act: inplace` leaves it as it is."""

    class More(nn.Module):
        def __init__(self, inplace: bool = False) -> None:
            super().__init__()
            self.inplace = inplace

        def forward(self, x: Tensor) -> Tensor:
            return x.add_(3) if self.inplace else x + 2

    netspec.register(plain, "liar/plain")
    netspec.register(More, "liar/More", function=plain)
    text = f"netspec: 1\nname: Net\ninputs: {{x: [N, 4]}}\nlayers:\n{FC}  a: {{act: liar/plain}}\n"
    assert netspec.build(netspec.loads(text), act="inplace").a.inplace is False
    assert verified("  a: {act: liar/plain}\n").equal


# What keeps its word


def test_what_keeps_its_word() -> None:
    def kept(x: Tensor) -> Tensor:
        return x.view_as(x)

    def fake(x: Tensor) -> Tensor:
        return x.view_as(x)

    def plain_(x: Tensor) -> Tensor:
        return x.add_(2)

    netspec.register(kept, "mylib/kept", fake=fake)
    netspec.register(plain, "mylib/plain", inplace=plain_)
    found = verified("  a: {call: mylib/kept}\n  b: {call: mylib/plain_, from: =a + 1}\n")
    assert found.equal, verification_text(found)
    assert {row.question for row in found.rows} >= {"registered layers"}


def test_a_word_that_only_the_cpu_knows() -> None:
    """Without a fake and without `meta` nothing is promised, and nothing is broken."""

    def looks(x: Tensor) -> Tensor:
        return x * float(x.detach().abs().max())

    netspec.register(looks, "mylib/looks")
    assert verified("  a: {call: mylib/looks}\n").equal


def test_random_numbers_are_no_lie() -> None:
    """A twin that draws is given the same numbers."""

    def noise(x: Tensor) -> Tensor:
        return x + torch.rand_like(x)

    def noise_(x: Tensor) -> Tensor:
        return x.add_(torch.rand_like(x))

    netspec.register(noise, "mylib/noise", inplace=noise_)
    found = verified("  a: {call: mylib/noise_, from: =fc + 1}\n")
    (row,) = [row for row in found.rows if row.question == "registered layers"]
    assert set(row.answers.values()) == {None}


def test_state_that_moves_is_no_lie() -> None:
    class Mean(nn.Module):
        """Takes away the mean of all that it saw."""

        mean: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.mean.lerp_(x.detach().mean(), 0.1)
            return x - self.mean

    netspec.register(Mean, "mylib/Mean")
    found = verified("  a: mylib/Mean\n")
    assert found.equal, verification_text(found)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("liar.py").write_text(
        "import netspec\n"
        "def fake(x):\n"
        "    return x.new_empty(x.shape)\n"
        "@netspec.register('liar/half', fake=fake)\n"
        "def half(x):\n"
        "    return x.view_as(x)\n"
    )
    Path("net.yaml").write_text(
        f"netspec: 1\ninputs: {{x: [N, 4]}}\nlayers:\n{FC}  h: {{call: liar/half}}\n  a: relu\n"
    )
    assert main(["verify", "net.yaml", "--plugin", "liar"]) == 1
    shown = capsys.readouterr().out
    lie = "gives what lies in its input's memory, and its fake says that it is new memory"
    assert f"registered layers, inplace: `liar/half` (line 5) {lie}" in shown
    assert main(["verify", "net.yaml", "--plugin", "liar", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert any(lie in str(row["answers"]) for row in rows)
