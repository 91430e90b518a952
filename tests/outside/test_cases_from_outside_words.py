"""What the public's cases 09 and 11 to 19 are told, with their neighbours; and how each is mended.

The exact texts stand in `cases/errors`; here is one row for each way in which people write the
same mistake: the code, a piece of the help, and the nearest spec that is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

import netspec
from netspec.errors import Diagnostic

OUTSIDE = Path(__file__).parents[1] / "cases" / "outside"
SEQUENCE = "[N, T, 5]"
IMAGE = "[N, 3, 32, 32]"
RNN = "  rnn: {module: LSTM, hidden_size: 5, batch_first: true}\n"
TWO = "blocks:\n  Two: {layers: {f: {module: Linear, out_features: 5}}, outputs: {f: f, x: x}}\n"
TOP = "blocks:\n  One: {layers: {g: {module: Linear, out_features: 5}}}\n"


@dataclass(frozen=True)
class Row:
    """A mistake: its layers, what is told of it, and the texts to put in the place of others.

    All of the `layers` are wrong for one reason, and one error is told.
    """

    name: str
    layers: str
    help: str
    mends: Sequence[tuple[str, str]]
    code: str = "NS212"
    shape: str = SEQUENCE
    head: str = ""
    options: Mapping[str, object] = field(default_factory=dict)

    def text(self) -> str:
        return f"netspec: 1\n{self.head}inputs: {{x: {self.shape}}}\nlayers:\n{self.layers}"

    def mended(self) -> str:
        text = self.text()
        for old, new in self.mends:
            assert old in text, f"`{old}` is not there to be mended"
            text = text.replace(old, new)
        return text


def rnn(name: str, layer: str, help: str, new: str, **more: object) -> Row:
    """A row in which an LSTM's tuple is given to a layer."""
    return Row(name, f"{RNN}  y: {layer}\n", help, [(layer, new)], **more)  # type: ignore[arg-type]


ITEM = 'from: "=rnn[0]"'
COLLECTIONS = [
    rnn("inferred", "{module: Linear, out_features: 2}", ITEM,
        '{module: Linear, out_features: 2, from: "=rnn[0]"}'),
    rnn("given sizes", "{module: Linear, in_features: 5, out_features: 2}", ITEM,
        '{module: Linear, in_features: 5, out_features: 2, from: "=rnn[0]"}'),
    rnn("by name", "{module: LayerNorm, from: rnn}", ITEM, '{module: LayerNorm, from: "=rnn[0]"}'),
    rnn("in a list", "{module: Bilinear, out_features: 2, from: [rnn, x]}", '"=rnn[0]"',
        '{module: Bilinear, out_features: 2, from: ["=rnn[0]", x]}'),
    rnn("another one", "{module: GRU, hidden_size: 5}", ITEM,
        '{module: GRU, hidden_size: 5, from: "=rnn[0]"}'),
    rnn("another one with sizes", "{module: GRU, input_size: 5, hidden_size: 5}", ITEM,
        '{module: GRU, input_size: 5, hidden_size: 5, from: "=rnn[0]"}'),
    rnn("a loss", "{module: MSELoss, from: [rnn, x]}", '"=rnn[0]"',
        '{module: MSELoss, from: ["=rnn[0]", x]}'),
    rnn("a function", "relu", ITEM, '{call: relu, from: "=rnn[0]"}'),
    rnn("an activation", "{act: gelu}", ITEM, '{act: gelu, from: "=rnn[0]"}'),
    rnn("an activation as a function", "{act: gelu}", ITEM, '{act: gelu, from: "=rnn[0]"}',
        options={"act": "functional"}),
    rnn("cat", "{call: cat, from: [rnn, x]}", '"=rnn[0]"', '{call: cat, from: ["=rnn[0]", x]}'),
    rnn("a call", "=relu(rnn)", "`rnn[0]`", "=relu(rnn[0])"),
    rnn("a sum", "=rnn + x", "`rnn[0]`", '"=rnn[0] + x"'),
    rnn("a number more", "=rnn + 2", "`rnn[0]`", '"=rnn[0] + 2"'),
    rnn("a method", "=rnn.mean(1)", "`rnn[0]`", '"=rnn[0].mean(1)"'),
    rnn("a shape", "=x * rnn.shape[1]", "`rnn[0]`", '"=x * rnn[0].shape[1]"'),
    rnn("a size", "=x * rnn.size(1)", "`rnn[0]`", '"=x * rnn[0].size(1)"'),
    rnn("an argument", "{call: add, other: =rnn, from: x}", '`other: "=rnn[0]"`',
        '{call: add, other: "=rnn[0]", from: x}'),
    rnn("a container", "{layers: {a: {module: Linear, out_features: 2}}}", ITEM,
        '{layers: {a: {module: Linear, out_features: 2}}, from: "=rnn[0]"}'),
    rnn("a block", "{block: One}", "rnn[0]", '{block: One, from: "=rnn[0]"}', head=TOP),
    Row("called", f"  fc: {{module: Linear, out_features: 5}}\n{RNN}  y: =fc(rnn)\n", "`rnn[0]`",
        [("=fc(rnn)", '"=fc(rnn[0])"')]),
    Row("used", f"  fc: {{module: Linear, out_features: 5}}\n{RNN}  y: {{use: fc}}\n", ITEM,
        [("{use: fc}", '{use: fc, from: "=rnn[0]"}')]),
    Row("numbered", "  - {module: GRU, hidden_size: 5}\n  - {module: Linear, out_features: 2}\n",
        "=_[0]", [("out_features: 2", 'out_features: 2, from: "=_[0]"')]),
    Row("attention",
        "  a: {module: MultiheadAttention, num_heads: 1, from: [x, x, x]}\n  n: LayerNorm\n",
        "=a[0]", [("n: LayerNorm", 'n: {module: LayerNorm, from: "=a[0]"}')]),
    Row("a dict", "  two: {block: Two}\n  n: {module: LayerNorm}\n", "=two['f']",
        [("n: {module: LayerNorm}", "n: {module: LayerNorm, from: \"=two['f']\"}")], head=TWO),
    Row("largest values", "  m: {call: max, dim: 1}\n  n: {module: Linear, out_features: 2}\n",
        "=m[0]", [("out_features: 2", 'out_features: 2, from: "=m[0]"')]),
    Row("indices of a pool",
        "  p: {module: MaxPool2d, kernel_size: 2, return_indices: true}\n"
        "  c: {module: Conv2d, out_channels: 2, kernel_size: 1}\n",
        "=p[0]", [("kernel_size: 1", 'kernel_size: 1, from: "=p[0]"')], shape=IMAGE),
]  # fmt: skip

ARGS = "args: {width: 8, depth: 2, drop: 0.5, deep: true, sizes: [4, 8], side: same}\n"

ALL = (  # reads each arg
    '  all: {value: "=x * (width + depth + drop + len(sizes) + len(side)) if deep else x", '
    "keep: true}\n"
)


def bare(name: str, layer: str, old: str, new: str, code: str = "NS205") -> Row:
    """A row with a name or an expression that lacks its `=`."""
    layers = f"{ALL}  a: {layer}\n"
    found = re.search(r'"=.*"|=[\w]+', new)
    assert found is not None, "the mend is an expression"
    return Row(name, layers, f"{found[0]}`", [(old, new)], code, "[N, 3, 8, 8]", ARGS)


WITHOUT_EQUALS = [
    bare("a module's", "{module: Linear, out_features: width}", ": width}", ": =width}"),
    bare("an expression", "{module: Linear, out_features: width // 2}", "width // 2",
         '"=width // 2"'),
    bare("in a list", "{module: Conv2d, out_channels: 4, kernel_size: [depth, 3]}", "[depth",
         "[=depth"),
    bare("a call's", "{call: dropout, p: drop}", ": drop}", ": =drop}"),
    bare("an activation's", "{act: elu, alpha: drop}", ": drop}", ": =drop}"),
    bare("copies", "{module: Linear, out_features: 8, repeat: depth}", ": depth}", ": =depth}",
         "NS214"),
    bare("copies in full", "{act: relu, repeat: {n: depth}}", "n: depth", "n: =depth", "NS214"),
    bare("copies over", "{module: Linear, out_features: =w, repeat: {over: sizes}}",
         "over: sizes", "over: =sizes", "NS214"),
    bare("a loop's variable", "{module: Linear, out_features: i + 1, repeat: 2}", "i + 1",
         '"=i + 1"'),
    bare("a loop's item", "{module: Linear, out_features: w, repeat: {over: =sizes}}",
         "out_features: w", "out_features: =w"),
    bare("a parameter", "{param: [width], init: zeros_, keep: true}\n  b: =x", "[width]",
         "[=width]"),
    bare("an init's", "{module: Linear, out_features: 8, init: {bias: {constant_: {val: drop}}}}",
         "val: drop", "val: =drop"),
    bare("a choice", "{module: Conv2d, out_channels: 8, kernel_size: 3, padding: side}",
         "padding: side", "padding: =side", "NS205"),
    bare("when", "{act: relu, when: deep}", "when: deep", "when: =deep"),
    bare("freeze", "{module: Linear, out_features: 8, freeze: deep}", "freeze: deep",
         "freeze: =deep"),
    bare("a value", "{call: add, other: x}", "other: x", "other: =x"),
    bare("what is read", "{act: relu, from: x * 2}", "x * 2", '"=x * 2"', "NS207"),
    bare("interpolated", '{module: Linear, out_features: "${width}"}', '"${width}"', "=width"),
    bare("interpolated by path", '{module: Linear, out_features: "${a.width}"}', '"${a.width}"',
         "=width"),
]  # fmt: skip


def last(name: str, shape: str, layer: str, right: str, code: str = "NS301") -> Row:
    return Row(name, f"  c: {layer}\n", right, [(f"x: {shape}", f"x: {right}")], code, shape)


CHANNELS_LAST = [
    last("signals", "[N, 100, 2]", "{module: Conv1d, in_channels: 2, out_channels: 8, "
         "kernel_size: 3}", "[N, 2, 100]"),
    last("volumes", "[N, 16, 32, 32, 3]", "{module: Conv3d, in_channels: 3, out_channels: 8, "
         "kernel_size: 3}", "[N, 3, 16, 32, 32]"),
    last("free sides", "[N, H, W, 3]", "{module: Conv2d, in_channels: 3, out_channels: 8, "
         "kernel_size: 3}", "[N, 3, H, W]"),
    last("no batch", "[32, 32, 3]", "{module: Conv2d, in_channels: 3, out_channels: 8, "
         "kernel_size: 3}", "[N, 3, 32, 32]"),
    last("transposed", "[N, 28, 28, 1]", "{module: ConvTranspose2d, in_channels: 1, "
         "out_channels: 8, kernel_size: 3}", "[N, 1, 28, 28]"),
    last("batch norm", "[N, 28, 28, 3]", "{module: BatchNorm2d, num_features: 3}",
         "[N, 3, 28, 28]"),
    last("group norm", "[N, 28, 28, 4]", "{module: GroupNorm, num_groups: 2, num_channels: 4}",
         "[N, 4, 28, 28]"),
    last("a kernel", "[N, 28, 28, 3]", "{module: Conv2d, out_channels: 8, kernel_size: 5}",
         "[N, 3, 28, 28]"),
    last("a pool", "[N, 28, 28, 1]", "{call: max_pool2d, kernel_size: 2}", "[N, 1, 28, 28]"),
]  # fmt: skip

AUX = "  fc: {module: Linear, out_features: 5}\n  aux: {module: Linear, out_features: 5}\n"


def unread(name: str, out: str, when: str, **args: object) -> Row:
    args = args or {"use": False}
    given = {"use": True, "n": 2, **args}
    mend = (
        "aux: {module: Linear, out_features: 5}",
        f"aux: {{module: Linear, out_features: 5, when: {when}}}",
    )
    head = "args: {use: true, n: 2}\n"
    layers = f"{AUX}  n_: =fc * n * int(use)\n  out: {out}\n  sum: =out + n_\n"
    return Row(
        name, layers, f"`when: {when}` at `aux`", [mend], "NS501", head=head,
        options={"args": given},
    )  # fmt: skip


UNREAD = [
    unread("else", '"=fc if not use else fc + aux"', "=use"),
    unread("negated", '"=fc if use else fc * aux"', '"=not use"', use=True),
    unread("compared", '"=fc + aux if n > 3 else fc"', '"=n > 3"', n=2),
    unread("and", '"=fc + aux if use and n > 1 else fc"', '"=use and n > 1"'),
    unread("nested", '"=(fc + aux if n > 1 else fc) if use else fc"', '"=use and n > 1"'),
    unread("twice", '"=(aux if use else fc) + (aux if n > 5 else fc)"', '"=use or n > 5"'),
    unread("a layer with when", "{call: add, from: [fc, aux], when: =use}", "=use"),
    unread("inside of a container",
           '{from: fc, layers: {f: relu, g: "=f + aux if use else f"}}', "=use"),
]  # fmt: skip

FILLED = [
    Row(name, f'  a: "={old}"\n', f"`={new}`", [(f'"={old}"', f'"={new}"')], code, "[N, 4, 6]")
    for name, old, new, code in [
        ("zeros", "x[:, 0].zero_()", "x.index_fill(1, tensor([0]), 0)", "NS406"),
        ("a slice", "x[..., 1:3].fill_(2)",
         "x.slice_scatter(full_like(x[..., 1:3], 2), -1, 1, 3)", "NS406"),
        ("the last", "x[:, -1].zero_()", "x.select_scatter(zeros_like(x[:, -1]), 1, -1)",
         "NS406"),
        ("a corner", "x[:, :2, :2].zero_()",
         "x.slice_scatter(x[:, :2].slice_scatter(zeros_like(x[:, :2][:, :, :2]), 2, 0, 2), "
         "1, 0, 2)", "NS406"),
        ("the whole", "x.fill_(3)", "full_like(x, 3)", "NS406"),
        ("a function", "zero_(x)", "zeros_like(x)", "NS406"),
        ("noise", "x.normal_()", "randn_like(x)", "NS406"),
        ("an assignment", "x[:, 0] = 1", "x.index_fill(1, tensor([0]), 1)", "NS208"),
        ("a mask", "x[x > 0] = 0", "x.masked_fill(x > 0, 0)", "NS208"),
        ("a sum", "x += 1", "x + 1", "NS208"),
        ("a part's sum", "x[:, 0] += 1", "x.select_scatter(x[:, 0] + 1, 1, 0)", "NS208"),
    ]
]  # fmt: skip

UP = "  p: {module: MaxPool2d, kernel_size: 2}\n  q: {module: MaxPool2d, kernel_size: 2}\n"
ROUNDED = [
    Row("transposed", UP + "  u: {module: ConvTranspose2d, out_channels: 3, kernel_size: 2, "
        "stride: 2}\n  s: =p + u\n", "output_size",
        [("stride: 2}", 'stride: 2, with: {output_size: "=p.shape[2:]"}}')],
        "NS301", "[N, 3, 26, 30]"),
    Row("upsampled", UP + "  u: {module: Upsample, scale_factor: 2}\n  s: =p * u\n",
        "pad(u, (0, p.shape[-1] - u.shape[-1], 0, p.shape[-2] - u.shape[-2]))",
        [("=p * u", '"=p * pad(u, (0, p.shape[-1] - u.shape[-1], 0, p.shape[-2] - u.shape[-2]))"')],
        "NS301", "[N, 3, 26, 30]"),
    Row("interpolated", UP + "  u: {call: interpolate, scale_factor: 2}\n"
        "  s: {call: cat, dim: 1, from: [u, p]}\n", '{call: interpolate, size: "=p.shape[2:]"}',
        [("scale_factor: 2", 'size: "=p.shape[2:]"')], "NS301", "[N, 3, 26, 32]"),
]  # fmt: skip


def act(name: str, layer: str, fn: str, code: str, form: str = "module") -> Row:
    mend = [("act: {", "act: {pin: true, ")]
    options = {"act": {"form": form, "fn": fn}}
    return Row(name, f"  act: {layer}\n", "`pin: true`", mend, code, "[N, 5]", options=options)


ACT_FN = [
    act("an argument", "{act: elu, alpha: 2.0}", "gelu", "NS203"),
    act("as a function", "{act: elu, alpha: 2.0}", "gelu", "NS203", "functional"),
    act("in place", "{act: leaky_relu, negative_slope: 0.2}", "relu", "NS203", "inplace"),
    act("a type", "{act: gelu, approximate: tanh}", "relu", "NS203"),
    act("what it needs", "{act: relu}", "threshold", "NS204"),
    act("its input", "{act: relu}", "glu", "NS301"),
    act("a parameter", "{act: prelu, init: {weight: zeros_}}", "relu", "NS502"),
]

INNER = "  enc: {layers: {fc: {module: Linear, out_features: 5}, r: relu}}\n"
DECLARED = [
    ("  enc:", "  fc: {module: Linear, out_features: 5, declare: true}\n  enc:"),
    ("layers: {fc: {module: Linear, out_features: 5}", "layers: {fc: {use: fc}"),
]
INSIDE = [
    Row("used", f"{INNER}  y: {{use: enc.fc, from: x}}\n  z: =y + enc\n", "declare it before `enc`",
        [*DECLARED, ("enc.fc", "fc")], "NS207"),
    Row("called", f"{INNER}  y: =enc.fc(x) + enc\n", "declare it before `enc`",
        [*DECLARED, ("enc.fc(", "fc(")], "NS206"),
    Row("a parameter", f"{INNER}  y: =enc @ enc.fc.weight\n", "declare it before `enc`",
        [*DECLARED, ("enc.fc.", "fc.")], "NS206"),
]  # fmt: skip


def stack(name: str, layer: str, right: str, code: str, shown: str) -> Row:
    return Row(name, f"  a: {layer}\n", shown, [(layer, right)], code, "[N, T, 8]")


MODULES_INSIDE = [
    stack("a stack", "{module: TransformerEncoder, num_layers: 2}",
          "{module: TransformerEncoderLayer, repeat: 2, nhead: 2}", "NS204",
          "`{module: TransformerEncoderLayer, repeat: 2}`"),
    stack("a mapping", "{module: TransformerEncoder, num_layers: 3, "
          "encoder_layer: {module: TransformerEncoderLayer, nhead: 2}}",
          "{module: TransformerEncoderLayer, nhead: 2, repeat: 3}", "NS205",
          "`{module: TransformerEncoderLayer, nhead: 2, repeat: 3}`"),
    stack("a decoder", "{module: TransformerDecoder, num_layers: 2, from: [x, x]}",
          "{module: TransformerDecoderLayer, repeat: 2, nhead: 2, from: [x, x]}", "NS204",
          "`{module: TransformerDecoderLayer, repeat: 2}`"),
    stack("a custom part", "{module: Transformer, d_model: 8, nhead: 2, from: [x, x], "
          "custom_encoder: {module: Linear, out_features: 8}}",
          "{module: Transformer, d_model: 8, nhead: 2, batch_first: true, from: [x, x]}", "NS205",
          "leave `custom_encoder` out"),
    stack("an activation", "{module: TransformerEncoderLayer, nhead: 2, activation: {act: gelu}}",
          "{module: TransformerEncoderLayer, nhead: 2, activation: gelu}", "NS205",
          "`activation: gelu`"),
]  # fmt: skip

ROWS = [
    *COLLECTIONS, *WITHOUT_EQUALS, *CHANNELS_LAST, *UNREAD, *FILLED, *ROUNDED, *ACT_FN, *INSIDE,
    *MODULES_INSIDE,
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_one_error_tells_the_mend(row: Row) -> None:
    found = told(row.text(), **row.options)
    assert [one.code for one in found] == [row.code], found
    assert row.help in (found[0].help or ""), found[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_mended_one_builds(row: Row) -> None:
    netspec.build(netspec.loads(row.mended()), device="meta", **row.options)  # type: ignore[arg-type]


def told(text: str, **options: object) -> Sequence[Diagnostic]:
    try:
        return netspec.check(netspec.loads(text), **options)  # type: ignore[arg-type]
    except netspec.SpecError as error:  # of the text alone
        return error.diagnostics


# The public's own texts: how each is built, the code and a piece of the help of the first error.

CASES: Mapping[str, tuple[Mapping[str, object], str, str]] = {
    "09_tuple_into_module": ({}, "NS212", 'from: "=rnn[0]"'),
    "12_module_inside_a_container": ({}, "NS207", "{use: emb}"),
    "13_unread_at_one_value_of_an_arg": (
        {"args": {"use_aux": False}}, "NS501", "`when: =use_aux` at `aux`",
    ),
    "14_transformer_encoder": ({}, "NS204", "`{module: TransformerEncoderLayer, repeat: 2}`"),
    "16_channels_last": ({}, "NS301", "`x: [N, 3, 32, 32]`"),
    "17_act_fn_over_arguments": ({"act": {"fn": "gelu"}}, "NS203", "`pin: true`"),
    "18_unet_skip_wrong_mend": ({}, "NS301", "output_size"),
    "19_fill_in_place_no_mend": ({}, "NS406", "`=att.index_fill(3, tensor([0]), 0)`"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_public_is_told_its_mend(name: str) -> None:
    options, code, help = CASES[name]
    (found,) = netspec.check(OUTSIDE / f"{name}.yaml", **options)  # type: ignore[arg-type]
    assert found.code == code
    assert help in (found.help or "")


def test_15_each_name_without_its_sign_is_told() -> None:
    found = netspec.check(OUTSIDE / "15_arg_without_equals_sign.yaml")
    told = [(one.help or "").split("`")[1] for one in found]
    assert told == ["=width", "=depth", "=drop", "=width"]


def test_17_the_cause_is_named() -> None:
    case = OUTSIDE / "17_act_fn_over_arguments.yaml"
    (found,) = netspec.check(case, act={"form": "functional", "fn": "gelu"})
    assert any("`gelu` is from `act.fn`" in note for note in found.notes)
    assert netspec.check(case) == ()


# Case 11


def test_11_whether_a_tuple_is_there_is_known() -> None:
    model = netspec.build(OUTSIDE / "11_when_is_not_none_of_a_tuple.yaml", seed=0)
    x = torch.randn(2, 4)
    a = model.get_submodule("a.fc")(x)
    b = model.get_submodule("b.fc")(a)
    assert torch.equal(model(x), b * x + a)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("pair is not None", True),
        ("pair is None", False),
        ("None is pair", False),
        ("not (pair is None)", True),
        ("pair is not None and x.shape[2] == 5", True),
        ("items is not None", True),
        ("rnn is None or on", True),
        ("m is not None", True),
        ("gone is None", True),
        ("text is not None", True),
    ],
)
def test_11_whether_something_is_there_is_known(condition: str, holds: bool) -> None:
    text = (
        "netspec: 1\nargs: {on: true, text: abc}\ninputs: {x: [N, T, 5]}\nlayers:\n"
        f"{RNN}"
        "  m: {module: Linear, in_features: 5, out_features: 5, declare: true, keep: true}\n"
        "  gone: {module: Linear, in_features: 5, out_features: 5, declare: true, when: =not on}\n"
        '  pair: "=(x, rnn[0])"\n'
        "  items: =x.unbind(1)\n"
        "  o: =pair[1] + items[0][:, None] + rnn[0]\n"
        f'  k: {{act: relu, when: "={condition}"}}\n'
        f'  out: "=(k + 1 if {condition} else k) + len(text)"\n'
    )
    model = netspec.build(netspec.loads(text), seed=0)
    assert ("k" in dict(model.named_children())) is holds


def test_11_a_tuple_is_no_condition() -> None:
    (found,) = told(f"netspec: 1\ninputs: {{x: [N, T, 5]}}\nlayers:\n{RNN}"
                    "  o: {value: =x, when: =rnn}\n")  # fmt: skip
    assert "=rnn is not None" in (found.help or "")
