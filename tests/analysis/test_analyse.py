"""What an analysis says of a spec: right, wrong in one layer, half written, changed a little."""

from __future__ import annotations

from pathlib import Path

import pytest

import netspec
from netspec.analysis.model import Named, Tensor
from netspec.limits import Interrupt, interruptible
from tests.test_cases import ERRORS, OK, options_of

TEXT = """\
netspec: 1
name: Net
args: {width: 8, classes: 10}
inputs:
  x: [N, 3, H, 32]
  mask: {shape: [N, 1, H, 32]}
blocks:
  Twice:
    args: {c: null}
    layers:
      conv: {module: Conv2d, out_channels: =c, kernel_size: 3, padding: 1}
      sum: =conv + x.mean(1, keepdim=True)
layers:
  stem: {module: Conv2d, from: x, out_channels: =width * 2, kernel_size: 3, padding: 1}
  body: {repeat: 2, block: Twice, c: =width}
  gate: =body * mask
  pool: {call: adaptive_avg_pool2d, output_size: 1}
  flat: {call: flatten, start_dim: 1}
  head: {module: Linear, out_features: =classes}
  side: {module: Linear, from: flat, out_features: 3, tie: {}}
outputs: {out: head, side: side}
"""
WRONG = TEXT.replace(
    "pool: {call: adaptive_avg_pool2d, output_size", "pool: {call: adaptive_avg_pool2d, size"
)
BROKEN = TEXT.replace("start_dim: 1}", "start_dim: 1")


def analysed(text: str, path: str = "nowhere/net.yaml", **more: object) -> netspec.Analysis:
    return netspec.analyse(text, path=path, **more)  # type: ignore[arg-type]


def types_of(analysis: netspec.Analysis) -> dict[str, str | None]:
    return {node.path: node.output.text if node.output else None for node in analysis.nodes}


def test_nodes_of_a_spec_that_is_right() -> None:
    found = analysed(TEXT)
    assert found.diagnostics == ()
    assert types_of(found) == {
        "x": "[N, 3, H, 32]",
        "mask": "[N, 1, H, 32]",
        "stem": "[N, 16, H, 32]",
        "body": "[N, 8, H, 32]",
        "body.0": "[N, 8, H, 32]",
        "body.0.conv": "[N, 8, H, 32]",
        "body.0.sum": "[N, 8, H, 32]",
        "body.1": "[N, 8, H, 32]",
        "body.1.conv": "[N, 8, H, 32]",
        "body.1.sum": "[N, 8, H, 32]",
        "gate": "[N, 8, H, 32]",
        "pool": "[N, 8, 1, 1]",
        "flat": "[N, 8]",
        "head": "[N, 10]",
        "side": "[N, 3]",
    }
    stem = found.by_path["stem"]
    assert (stem.kind, stem.operation, stem.state) == ("module", "Conv2d", "known")
    assert (stem.place.file, stem.place.line, stem.place.column, stem.place.width) == (
        "nowhere/net.yaml", 14, 3, 4,
    )  # fmt: skip
    assert stem.output is not None
    assert stem.output.data == Tensor(("N", 16, "H", 32), "float32")
    assert [one.text for one in stem.inputs if one] == ["[N, 3, H, 32]"]
    assert [(p.name, p.shape) for p in stem.parameters] == [
        ("weight", (16, 3, 3, 3)), ("bias", (16,)),
    ]  # fmt: skip
    body = found.by_path["body"]
    assert "0.conv.weight" in [parameter.name for parameter in body.parameters]


def test_edges_say_what_reads_what() -> None:
    edges = {(e.source, e.target, e.argument) for e in analysed(TEXT).edges}
    assert {
        ("x", "stem", "0"),
        ("stem", "body.0", "0"),
        ("stem", "body.0.conv", "0"),
        ("body.0.conv", "body.0.sum", ""),
        ("body.0", "body.1.conv", "0"),
        ("stem", "body", "0"),
        ("body", "gate", ""),
        ("mask", "gate", ""),
        ("flat", "head", "0"),
        ("flat", "side", "0"),
    } <= edges
    paths = set(types_of(analysed(TEXT)))
    assert {path for source, target, _ in edges for path in (source, target)} <= paths


def test_a_mistake_leaves_the_other_layers_their_types() -> None:
    found, right = analysed(WRONG), types_of(analysed(TEXT))
    (mistake,) = found.diagnostics
    assert mistake.code == "NS203"
    lost = {path for path, text in types_of(found).items() if text is None}
    assert lost == {"pool", "flat", "head", "side"}
    kept = {path: text for path, text in types_of(found).items() if text is not None}
    assert kept.items() <= right.items()
    states = {path: found.by_path[path].state for path in lost}
    assert states == {"pool": "refused", "flat": "open", "head": "open", "side": "open"}
    assert [one.text for one in found.by_path["pool"].inputs if one] == ["[N, 8, H, 32]"]


def test_names_with_all_their_uses() -> None:
    found = {(n.kind, n.name): n for n in analysed(TEXT).names}
    places = {key: [(u.line, u.column, u.width) for u in name.uses] for key, name in found.items()}
    assert places["arg", "width"] == [(14, 50, 5), (15, 39, 5)]
    assert places["arg", "c"] == [(11, 45, 1), (15, 35, 1)]
    assert places["block", "Twice"] == [(15, 28, 5)]
    assert places["layer", "flat"] == [(20, 32, 4)]
    assert places["layer", "body"] == [(16, 10, 4)]
    assert places["input", "mask"] == [(16, 17, 4)]
    assert places["layer", "conv"] == [(12, 13, 4)]
    assert places["layer", "head"] == [(21, 16, 4)]
    definition = found["arg", "width"].definition
    assert (definition.line, definition.column, definition.width) == (3, 8, 5)


@pytest.mark.parametrize(
    ("line", "column", "path"),
    [(14, 3, "stem"), (14, 60, "stem"), (5, 4, "x"), (11, 30, "body.0.conv"), (16, 11, "gate"),
     (21, 16, None), (1, 1, None), (99, 1, None), (0, 0, None)],
)  # fmt: skip
def test_a_position_has_a_path(line: int, column: int, path: str | None) -> None:
    found = analysed(TEXT)
    assert found.at(line, column) == path
    if path is not None:
        place = found.place_of(path)
        assert place is not None and place.line == line
    assert found.place_of("no.such.layer") is None


def test_a_text_that_is_half_written_is_read_up_to_the_mistake() -> None:
    found = analysed(BROKEN)
    assert {one.code for one in found.diagnostics} == {"NS101"}
    right = types_of(analysed(TEXT))
    now = types_of(found)
    before = ["x", "mask", "stem", "body", "body.1.sum", "gate", "pool"]
    assert {path: now[path] for path in before} == {path: right[path] for path in before}


@pytest.mark.parametrize("end", range(60, len(TEXT), 37))
def test_what_is_typed_so_far_is_analysed(end: int) -> None:
    found, right = analysed(TEXT[:end]), types_of(analysed(TEXT))
    whole = TEXT[:end].count("\n")
    known = types_of(found)
    for path in ("x", "mask", "stem", "gate", "pool", "flat"):
        line = next(
            n for n, text in enumerate(TEXT.split("\n"), 1) if text.startswith(f"  {path}:")
        )
        if "  body: {" in TEXT[:end] and line <= whole:  # one layer stands
            assert known[path] == right[path], path


@pytest.mark.parametrize("case", ERRORS[::7], ids=lambda case: case.stem)
def test_it_finds_what_a_check_finds_and_raises_nothing(case: Path) -> None:
    options = {k: v for k, v in options_of(case).items() if k != "outputs"}
    found = netspec.analyse(case, **options)  # type: ignore[arg-type]
    assert found.diagnostics[:1] == netspec.check(case, **options)[:1]  # type: ignore[arg-type]
    assert found.names is not None
    assert len(found.edges) >= 0
    assert [found.at(line, 5) for line in range(1, 30)]


@pytest.mark.parametrize("case", OK[::9], ids=lambda case: case.stem)
def test_it_finds_nothing_in_what_is_right(case: Path) -> None:
    options = {k: v for k, v in options_of(case).items() if k in ("args", "act", "overrides")}
    found = netspec.analyse(case, **options)  # type: ignore[arg-type]
    assert found.diagnostics == netspec.check(case, **options)  # type: ignore[arg-type]
    assert all(node.state != "refused" for node in found.nodes)


def test_costs_are_those_of_the_summary() -> None:
    found = analysed(TEXT)
    costs = found.costs()
    assert costs is not None and costs.flops > 0
    rows = {row.path: row for row in costs.rows}
    assert set(rows) <= set(found.by_path)
    assert rows["stem"].parameters == sum(p.elements for p in found.by_path["stem"].parameters)
    assert analysed(WRONG).costs() is None


def test_in_place_decisions_have_a_reason() -> None:
    text = (
        "netspec: 1\ninputs: {x: [N, 3]}\nlayers:\n  a: {act: relu}\n"
        "  b: {module: Linear, out_features: 3}\n  c: {act: relu}\n"
    )
    found = analysed(text, act="inplace")
    a, c = found.by_path["a"].in_place, found.by_path["c"].in_place
    assert a is not None and not a.taken and a.reason.startswith("no: it is ")
    assert c is not None and (c.taken, c.asked_for, c.reason) == (True, False, "in place")


def test_only_reading_is_done_again_where_a_comment_changed() -> None:
    first = analysed(TEXT)
    text = TEXT.replace("layers:\n  stem", "\n# all of it\nlayers:   # here\n  stem")
    again = analysed(text, before=first)
    assert again._examined is first._examined
    fresh = analysed(text)
    assert again.nodes == fresh.nodes
    assert (again.edges, again.names) == (fresh.edges, fresh.names)
    changed = analysed(text.replace("classes: 10", "classes: 11"), before=again)
    assert changed._examined is not first._examined
    wrong = analysed(WRONG)
    commented = WRONG.replace("start_dim: 1}", "start_dim: 1}  # so")
    assert analysed(commented, before=wrong)._examined is wrong._examined
    assert analysed(commented, before=wrong).diagnostics == analysed(commented).diagnostics
    lower = analysed("# moved\n" + WRONG, before=wrong)
    assert lower.diagnostics == analysed("# moved\n" + WRONG).diagnostics


def test_files_beside_a_text_that_is_in_no_file(tmp_path: Path) -> None:
    blocks = "netspec: 1\nblocks:\n  Twice:\n    layers:\n      a: relu\n      b: relu\n"
    (tmp_path / "blocks.yaml").write_text(blocks)
    text = (
        "netspec: 1\ninputs: {x: [N, 3]}\ninclude: blocks.yaml\nlayers:\n"
        "  a: {module: Linear, out_features: 4}\n  t: {block: Twice}\n"
    )
    found = analysed(text, path=str(tmp_path / "new.yaml"))
    assert found.diagnostics == ()
    assert found.by_path["t.b"].place.file == str(tmp_path / "blocks.yaml")
    (block,) = [name for name in found.names if name.kind == "block"]
    assert block.definition.file == str(tmp_path / "blocks.yaml")
    assert found.at(6, 10) == "t"
    # Without that file the other layers have their types yet.
    lost = analysed(text.replace("blocks.yaml", "block.yaml"), path=str(tmp_path / "new.yaml"))
    assert [one.code for one in lost.diagnostics] == ["NS213"]
    assert types_of(lost)["a"] == "[N, 4]"


@pytest.mark.parametrize(
    "text", ["", "\x00", "[", "- a", "{", "a: b", "\udcff", "netspec: 1", "netspec: 1\ninputs:\n",
             "netspec: 1\ninputs: {x: [N]}\nlayers: {a: }", "a: &x [*x]", "\t", "x: 'a\nb: c"],
)  # fmt: skip
def test_nothing_that_is_written_raises(text: str) -> None:
    found = analysed(text)
    assert found.diagnostics
    assert (found.nodes, found.edges, found.names, found.ties) is not None
    assert found.at(1, 1) in (None, "x")
    assert found.costs() is None


def test_what_it_is_asked_with_is_wrong() -> None:
    for options in ({"args": {"no": 1}}, {"act": "no"}, {"overrides": ["no"]}, {"plugins": ["no"]}):
        assert analysed(TEXT, **options).diagnostics  # type: ignore[arg-type]
    assert [one.code for one in analysed(TEXT, limits={"text": 10}).diagnostics] == ["NS103"]
    assert netspec.analyse("no_such_file.yaml").diagnostics[0].code == "NS105"


def test_ties_and_collections() -> None:
    text = (
        "netspec: 1\ninputs: {x: {shape: [N, T], dtype: int64}}\nlayers:\n"
        "  wte: {module: Embedding, num_embeddings: 9, embedding_dim: 4}\n"
        "  rnn: {module: LSTM, hidden_size: 4, batch_first: true}\n"
        "  out: =rnn[0]\n"
        "  head: {module: Linear, out_features: 9, bias: false, tie: {weight: wte.weight}}\n"
    )
    found = analysed(text)
    assert found.diagnostics == ()
    assert [(tie.target, tie.source) for tie in found.ties] == [("head.weight", "wte.weight")]
    output = found.by_path["rnn"].output
    assert output is not None and output.text == "([N, T, 4], ([1, N, 4], [1, N, 4]))"
    assert isinstance(output.data, tuple)
    assert output.data[0] == Tensor(("N", "T", 4), "float32")
    assert not isinstance(output.data, Named)


def test_a_block_is_called_from_a_graph_with_more_values_than_its_own() -> None:
    text = """\
netspec: 1
name: Net
inputs: {x: [N, 6, 2]}
blocks:
  B: {layers: {act1: {act: relu}}}
layers:
  block2: {block: B}
  part1:
    layers:
      twice: {from: "=block2(_)", value: "=_ - _ * 0.5"}
      attn: {call: scaled_dot_product_attention, from: [=_, =_, =_], dropout_p: 0.2}
      drop: {module: Dropout, p: 0.3}
      part2: {layers: [=block2(_)]}
"""
    assert netspec.check(netspec.loads(text)) == ()
    assert not netspec.analyse(text, path="x.yaml").diagnostics


LIBRARY = """\
netspec: 1
blocks:
  Outer:
    layers:
      a: {block: Inner, width: 4}
  Inner:
    args: {width: null}
    layers:
      a: {module: Linear, out_features: =width}
"""
USER = """\
netspec: 1
include: blocks.yaml
inputs: {x: [N, 3]}
layers:
  a: {block: Inner, width: 2}
"""


def test_a_file_of_blocks_is_no_mistake() -> None:
    found = analysed(LIBRARY)
    assert found.diagnostics == () and found.is_library and found.nodes == ()
    assert [(name.name, name.kind, len(name.uses)) for name in found.names] == [
        ("Outer", "block", 0), ("a", "layer", 0), ("Inner", "block", 1), ("width", "arg", 2),
        ("a", "layer", 0),
    ]  # fmt: skip
    assert found.block_args == {"Outer": {}, "Inner": {"width": None}}
    (wrong,) = analysed(LIBRARY.replace("module: Linear", "modul: Linear")).diagnostics
    assert wrong.code == "NS202"
    assert not analysed(USER).is_library


def test_texts_that_are_not_saved_stand_in_the_place_of_files(tmp_path: Path) -> None:
    library, user = tmp_path / "blocks.yaml", str(tmp_path / "user.yaml")
    unsaved = {str(library): LIBRARY}
    found = analysed(USER, user, unsaved=unsaved)
    assert found.diagnostics == () and types_of(found)["a"] == "[N, 2]"
    assert found.files == (library,)
    width = next(name for name in found.names if name.name == "width")
    assert (width.definition.line, [use.line for use in width.uses]) == (7, [5])
    assert analysed(USER + "\n", user, unsaved=unsaved, before=found).nodes is not found.nodes
    again = analysed(USER + "\n", user, unsaved=unsaved, before=found)
    assert again._examined is found._examined
    other = {str(library): LIBRARY.replace("a: {module: Linear", "b: {module: Linear")}
    changed = analysed(USER, user, unsaved=other, before=found)
    assert "a.b" in types_of(changed)
    assert [one.code for one in analysed(USER, user, before=found).diagnostics] == ["NS213"]


def test_an_interrupted_analysis_ends() -> None:
    interrupt = Interrupt()
    interrupt.set()
    with interruptible(interrupt):
        found = analysed(TEXT.replace("Net", "Never"))
    assert [one.code for one in found.diagnostics] == ["NS217"]
    assert analysed(TEXT.replace("Net", "Never")).diagnostics == ()


def test_a_block_that_nothing_uses_is_no_part_of_the_model() -> None:
    text = TEXT.replace(
        "  body: {repeat: 2, block: Twice, c: =width}\n  gate: =body", "  gate: =stem"
    )
    assert list(types_of(analysed(text))) == [
        "x", "mask", "stem", "gate", "pool", "flat", "head", "side",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "  # to come\n", ""])
def test_a_mistake_goes_with_the_text_that_was_no_yaml(end: str) -> None:
    """What is left of it, blank lines in the place of what was wrong, is another text."""
    right = "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n  a: {module: Linear, out_features: 3}\n"
    wrong = netspec.analyse(f"{right}  b: [\n", path="net.yaml")
    assert [found.code for found in wrong.diagnostics] == ["NS101"]
    assert netspec.analyse(right + end, path="net.yaml", before=wrong).diagnostics == ()
