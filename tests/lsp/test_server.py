"""The language server as an editor sees it: on right, wrong and half-written texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pygls")

from lsprotocol import types as lsp

from tests.lsp.client import Editor

TEXT = """\
netspec: 1
name: Net
args: {width: 8, classes: 10}
inputs: {x: [N, 3, H, 32]}
include: blocks.yaml
blocks:
  Twice:
    args: {c: null}
    layers:
      conv: {module: Conv2d, out_channels: =c, kernel_size: 3, padding: 1}
      sum: =conv + x.mean(1, keepdim=True)
layers:
  stem: {module: Conv2d, out_channels: =width * 2, kernel_size: 3, padding: 1}
  act:  {act: relu}
  body: {repeat: 2, block: Twice, c: =width}
  side: {block: Shared, from: stem, depth: 4}
  both: "=cat([body, side], dim=1)"
  flat:
    call: flatten
    start_dim: 1
  head: {module: Linear, from: "=both.mean((2, 3))", out_features: =classes}
outputs: {out: head, flat: flat}
"""
BLOCKS = """\
netspec: 1
blocks:
  Shared:
    args: {depth: null, scale: 2}
    layers:
      conv: {module: Conv2d, out_channels: =depth * scale, kernel_size: 1}
      act:  {act: gelu}
"""
WRONG = TEXT.replace("kernel_size: 3, padding: 1}\n  act", "kernal_size: 3, padding: 1}\n  act")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("specs")
    (made / "blocks.yaml").write_text(BLOCKS, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def editor(folder: Path) -> Iterator[Editor]:
    made = Editor(folder)
    yield made
    assert made.messages == []
    made.close()


def cut(text: str) -> str:
    return text.replace("‸", "")


def test_what_is_right_has_no_diagnostics(editor: Editor) -> None:
    assert editor.problems(editor.open("right.yaml", TEXT)) == []


def test_another_yaml_file_is_left_alone(editor: Editor) -> None:
    uri = editor.open("other.yaml", "services: {web: {image: nginx, layers: 3}}\n")
    assert editor.problems(uri) == []
    assert hints_of(editor, uri) == []


def test_diagnostics_while_one_types(editor: Editor) -> None:
    uri = editor.open("typed.yaml", TEXT)
    editor.change(uri, WRONG)
    (found,) = editor.problems(uri)
    assert (found.code, found.source) == ("NS203", "netspec")
    assert found.message.startswith("`Conv2d` has no argument `kernal_size`")
    assert "did you mean `kernel_size`?" in found.message
    line = WRONG.splitlines()[found.range.start.line]
    assert line[found.range.start.character : found.range.end.character] == "kernal_size"
    assert found.code_description is not None
    assert found.code_description.href.startswith("file://")
    assert found.code_description.href.endswith("docs/errors/NS203.md")
    editor.change(uri, TEXT)
    assert editor.problems(uri) == []


def test_a_mistake_in_an_included_file_is_shown_there(editor: Editor, folder: Path) -> None:
    (folder / "slip.yaml").write_text(BLOCKS.replace("Conv2d", "Conv2"), encoding="utf-8")
    uri = editor.open("slips.yaml", TEXT.replace("blocks.yaml", "slip.yaml"))
    assert editor.problems(uri) == []
    there = editor.told_of(editor.uri("slip.yaml"))
    assert [d.code for d in there.diagnostics] == ["NS206"]
    editor.close_file(uri)
    hints_of(editor, editor.open("right.yaml", TEXT))  # messages come in their order
    assert not editor.diagnostics[editor.uri("slip.yaml")].diagnostics


def test_open_files_are_read_from_the_editor(editor: Editor) -> None:
    uri = editor.open("reads.yaml", TEXT)
    assert editor.problems(uri) == []
    library = editor.open("blocks.yaml", BLOCKS)
    assert editor.problems(library) == []
    editor.change(library, BLOCKS.replace("depth: null", "deep: null").replace("=depth", "=deep"))
    assert editor.problems(library) == []
    assert wait_for(editor, uri) == ["NS203"]
    editor.close_file(library)
    editor.change(uri, TEXT + "\n")
    assert editor.problems(uri) == []


def wait_for(editor: Editor, uri: str) -> list[str]:
    """The codes of a file that another one makes wrong."""
    for _ in range(500):
        found = editor.diagnostics[uri].diagnostics
        if found:
            return sorted({str(d.code) for d in found})
        editor.ask(lsp.TEXT_DOCUMENT_FOLDING_RANGE, of(uri, lsp.FoldingRangeParams))
    return []


def of(uri: str, kind: type) -> object:
    return kind(lsp.TextDocumentIdentifier(uri))


def hints_of(editor: Editor, uri: str, last: int = 999) -> list[tuple[int, str]]:
    whole = lsp.Range(lsp.Position(0, 0), lsp.Position(last, 0))
    found = editor.ask(
        lsp.TEXT_DOCUMENT_INLAY_HINT, lsp.InlayHintParams(lsp.TextDocumentIdentifier(uri), whole)
    )
    return [(hint.position.line + 1, hint.label) for hint in found]


def test_hints(editor: Editor) -> None:
    uri = editor.open("hints.yaml", TEXT)
    assert hints_of(editor, uri) == [
        (13, "→ [N, 16, H, 32]"),
        (14, "→ [N, 16, H, 32]"),
        (15, "→ [N, 8, H, 32]"),
        (10, "→ [N, 8, H, 32]"),
        (11, "→ [N, 8, H, 32]"),
        (16, "→ [N, 8, H, 32]"),
        (17, "→ [N, 16, H, 32]"),
        (18, "→ [N, 512·H]"),
        (21, "→ [N, 10]"),
    ]
    assert hints_of(editor, uri, 12) == [(10, "→ [N, 8, H, 32]"), (11, "→ [N, 8, H, 32]")]


def test_hints_beside_a_mistake(editor: Editor) -> None:
    wrong = TEXT.replace("out_features: =classes", "out_feature: =classes")
    found = hints_of(editor, editor.open("beside.yaml", wrong))
    assert (13, "→ [N, 16, H, 32]") in found
    assert 21 not in [line for line, _ in found]
    half = editor.open("half.yaml", TEXT[: TEXT.index("flat:")] + "flat: {call: flat")
    assert (17, "→ [N, 16, H, 32]") in hints_of(editor, half)
    assert [d.code for d in editor.problems(half)] == ["NS101"]


def test_hints_of_a_library_come_from_who_includes_it(editor: Editor) -> None:
    editor.problems(editor.open("includes.yaml", TEXT))
    library = editor.open("blocks.yaml", BLOCKS)
    assert hints_of(editor, library) == [(6, "→ [N, 8, H, 32]"), (7, "→ [N, 8, H, 32]")]
    editor.close_file(library)


HOVERS = {
    "a layer": ("  st‸em: {module", ["`stem` module `Conv2d`", "448 parameters", "Conv2d(in_channels"]),
    "a class": ("stem: {module: Con‸v2d", ["Conv2d(in_channels", "`[N, 3, H, 32]` → `[N, 16, H, 32]`"]),
    "an argument": ("kernel_si‸ze: 3, padding: 1}\n  act", ["`kernel_size`: an int or a pair of ints"]),
    "a name in an expression": ("=cat([bo‸dy", ["`body` block `Twice`", "→ `[N, 8, H, 32]`"]),
    "an arg": ("=wid‸th * 2", ["arg `width` = `8`"]),
    "a key": ("from: st‸em", ["`stem` module"]),
    "a modifier": ("  body: {rep‸eat", ["`repeat`: So many copies"]),
    "an activation": ("{act: re‸lu}", ["ReLU", "→ `[N, 16, H, 32]`"]),
    "a key of the document": ("out‸puts: {out", ["`outputs`: What `forward` returns"]),
}  # fmt: skip


def marked(text: str, excerpt: str) -> str:
    """The text with the mark of an excerpt of it."""
    assert text.count(cut(excerpt)) == 1, excerpt
    return text.replace(cut(excerpt), excerpt)


@pytest.mark.parametrize(("excerpt", "words"), HOVERS.values(), ids=HOVERS)
def test_hover(editor: Editor, excerpt: str, words: list[str]) -> None:
    uri = editor.open("hover.yaml", TEXT)
    found = editor.ask(
        lsp.TEXT_DOCUMENT_HOVER, lsp.HoverParams(**editor.at(uri, marked(TEXT, excerpt)))
    )
    for word in words:
        assert word in found.contents.value


def test_hover_on_nothing(editor: Editor) -> None:
    uri = editor.open("hover.yaml", TEXT)
    at = editor.at(uri, TEXT.replace("classes: 10}", "classes: 10} ‸"))
    assert editor.ask(lsp.TEXT_DOCUMENT_HOVER, lsp.HoverParams(**at)) is None


def test_costs_come_when_nothing_else_is_asked(editor: Editor) -> None:
    uri = editor.open("costs.yaml", TEXT)
    at = lsp.HoverParams(**editor.at(uri, marked(TEXT, "  st‸em: {module")))
    for _ in range(2_000):
        found = editor.ask(lsp.TEXT_DOCUMENT_HOVER, at).contents.value
        if "FLOPs" in found:
            assert "held for backward at N = 1" in found
            return
    pytest.fail("no costs")


COMPLETIONS = {
    "a class": ("  new: {module: Con‸", ["Conv2d", "Conv1d", "ConvTranspose2d"]),
    "a function": ("  new: {call: max_p‸", ["max_pool2d"]),
    "an activation": ("  new: {act: ge‸", ["gelu"]),
    "an argument in flow style": ("  new: {module: Conv2d, ker‸}", ["kernel_size"]),
    "arguments left": ("  new: {module: Conv2d, kernel_size: 3, ‸}", ["out_channels", "stride", "from"]),
    "an argument below": ("  new:\n    module: Linear\n    ou‸", ["out_features"]),
    "kinds": ("  new: {‸", ["module", "call", "act", "block", "layers", "value"]),
    "layers": ("  new: {act: relu, from: ‸}", ["flat", "both", "stem", "x"]),
    "layers in a list": ("  new: {call: cat, from: [stem, s‸]}", ["stem", "side"]),
    "a block": ("  new: {block: ‸}", ["Twice", "Shared"]),
    "args of a block": ("  new: {block: Shared, ‸}", ["depth", "scale"]),
    "a short form": ("  new: Batch‸", ["BatchNorm2d"]),
    "an expression": ("  new: =wi‸", ["width"]),
    "a value in an expression": ('  new: "=cat([st‸', ["stem"]),
    "a function in an expression": ("  new: =so‸", ["softmax"]),
    "a method": ("  new: =stem.per‸", ["permute"]),
    "a parameter": ("  new: =stem.wei‸", ["weight"]),
    "sizes": ("  new: =stem.sh‸", ["shape"]),
    "a choice": ("  new: {module: Conv2d, padding_mode: ‸}", ["zeros", "reflect"]),
    "a flag": ("  new: {module: Conv2d, bias: ‸}", ["true", "false"]),
    "an initialiser": ("  new: {module: Conv2d, init: {weight: kai‸}}", ["kaiming_normal_"]),
    "a dtype": ("  new: {call: softmax, dim: 1, dtype: fl‸}", ["float32", "float64"]),
    "a modifier's value": ("  new: {repeat: 2, as: ‸}", ["sequential", "list"]),
    "of repeat": ("  new: {repeat: {‸}, act: relu}", ["n", "over", "as", "name"]),
    "a nested layer": ("  new:\n    layers:\n      - {module: Lin‸}", ["Linear"]),
    "the call of a module": ("  new: {module: MultiheadAttention, with: {need‸}}", ["need_weights"]),
}  # fmt: skip


@pytest.mark.parametrize(("typed", "wanted"), COMPLETIONS.values(), ids=COMPLETIONS)
def test_completion(editor: Editor, typed: str, wanted: list[str]) -> None:
    uri = editor.open("completion.yaml", TEXT)
    editor.problems(uri)
    text = TEXT.replace("  head:", f"{typed}\n  head:")
    editor.change(uri, cut(text))
    found = editor.ask(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionParams(**editor.at(uri, text)))
    labels = [item.label for item in found.items]
    assert [word for word in wanted if word not in labels] == []
    item = next(item for item in found.items if item.label == wanted[0])
    before = text[: text.index("‸")].rpartition("\n")[2]
    assert before[item.text_edit.range.start.character :] in item.label
    assert item.text_edit.range.end.character == len(before)


def test_completion_at_the_top(editor: Editor) -> None:
    text = "netspec: 1\nin‸\n"
    uri = editor.open("top.yaml", cut(text))
    found = editor.ask(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionParams(**editor.at(uri, text)))
    assert [item.label for item in found.items] == ["inputs", "include", "init"]
    assert found.items[0].text_edit.new_text == "inputs: "


@pytest.mark.parametrize("typed", ["  # Con‸", "  new: {doc: a text} # Con‸"])
def test_no_completion_in_comments(editor: Editor, typed: str) -> None:
    text = TEXT.replace("  head:", f"{typed}\n  head:")
    uri = editor.open("comment.yaml", cut(text))
    at = lsp.CompletionParams(**editor.at(uri, text))
    assert editor.ask(lsp.TEXT_DOCUMENT_COMPLETION, at) is None


def test_what_torch_says_comes_on_request(editor: Editor) -> None:
    text = TEXT.replace("  head:", "  new: {module: Con‸\n  head:")
    uri = editor.open("resolve.yaml", cut(text))
    found = editor.ask(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionParams(**editor.at(uri, text)))
    item = next(item for item in found.items if item.label == "Conv2d")
    assert item.documentation is None
    resolved = editor.ask(lsp.COMPLETION_ITEM_RESOLVE, item)
    assert "Applies a 2D convolution" in resolved.documentation.value


SIGNATURES = {
    "a layer": ("  new: {module: Linear, out_features: ‸}", "Linear(in_features, out_features", 1),
    "a call": ('  new: "=cat([stem, stem], dim=‸', "cat(tensors, dim=0)", 1),
    "by position": ('  new: "=softmax(stem, ‸', "softmax(input, dim=null", 1),
    "a method": ('  new: "=stem.flatten(1, ‸', "flatten(self, start_dim=0, end_dim=-1)", 2),
    "a block": ("  new: {block: Shared, scale: ‸}", "Shared(depth, scale=2)", 1),
}  # fmt: skip


@pytest.mark.parametrize(("typed", "label", "active"), SIGNATURES.values(), ids=SIGNATURES)
def test_signature(editor: Editor, typed: str, label: str, active: int) -> None:
    uri = editor.open("signature.yaml", TEXT)
    editor.problems(uri)
    text = TEXT.replace("  head:", f"{typed}\n  head:")
    editor.change(uri, cut(text))
    found = editor.ask(
        lsp.TEXT_DOCUMENT_SIGNATURE_HELP, lsp.SignatureHelpParams(**editor.at(uri, text))
    )
    assert found.signatures[0].label.startswith(label)
    assert found.active_parameter == active


def place(location: lsp.Location) -> tuple[str, int]:
    return location.uri.rpartition("/")[2], location.range.start.line + 1


DEFINITIONS = {
    "a layer": ("=cat([bo‸dy", ("names.yaml", 15)),
    "a block": ("block: Tw‸ice", ("names.yaml", 7)),
    "an included block": ("block: Sha‸red", ("blocks.yaml", 3)),
    "an arg of an included block": ("dep‸th: 4", ("blocks.yaml", 4)),
    "an arg": ("=wid‸th * 2", ("names.yaml", 3)),
    "an output": ("{out: he‸ad", ("names.yaml", 21)),
    "an include": ("include: blo‸cks.yaml", ("blocks.yaml", 1)),
}


@pytest.mark.parametrize(("excerpt", "wanted"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_definition(editor: Editor, excerpt: str, wanted: tuple[str, int]) -> None:
    uri = editor.open("names.yaml", TEXT)
    at = editor.at(uri, marked(TEXT, excerpt))
    assert place(editor.ask(lsp.TEXT_DOCUMENT_DEFINITION, lsp.DefinitionParams(**at))) == wanted


def test_references(editor: Editor) -> None:
    uri = editor.open("names.yaml", TEXT)
    at = editor.at(uri, marked(TEXT, "  st‸em: {module"))
    everywhere = lsp.ReferenceContext(include_declaration=True)
    found = editor.ask(
        lsp.TEXT_DOCUMENT_REFERENCES, lsp.ReferenceParams(everywhere, **at)
    )  # fmt: skip
    assert [place(each) for each in found] == [("names.yaml", 13), ("names.yaml", 16)]
    uses = editor.ask(
        lsp.TEXT_DOCUMENT_REFERENCES,
        lsp.ReferenceParams(lsp.ReferenceContext(include_declaration=False), **at),
    )
    assert [place(each) for each in uses] == [("names.yaml", 16)]


def edited(text: str, edits: list[lsp.TextEdit]) -> str:
    lines = text.splitlines(keepends=True)
    for edit in sorted(edits, key=lambda e: e.range.start, reverse=True):
        number = edit.range.start.line
        start, end = edit.range.start.character, edit.range.end.character
        lines[number] = lines[number][:start] + edit.new_text + lines[number][end:]
    return "".join(lines)


def rename(editor: Editor, uri: str, excerpt: str, new: str, text: str = TEXT) -> lsp.WorkspaceEdit:
    at = editor.at(uri, marked(text, excerpt))
    return editor.ask(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameParams(new_name=new, **at))


def test_rename(editor: Editor) -> None:
    uri = editor.open("names.yaml", TEXT)
    found = rename(editor, uri, "=cat([bo‸dy", "trunk")
    after = edited(TEXT, found.changes[uri])
    assert after == TEXT.replace("  body:", "  trunk:").replace("[body", "[trunk")
    editor.change(uri, after)
    assert editor.problems(uri) == []


def test_rename_over_files(editor: Editor, folder: Path) -> None:
    (folder / "second.yaml").write_text(TEXT, encoding="utf-8")
    uri = editor.open("names.yaml", TEXT)
    found = rename(editor, uri, "dep‸th: 4", "channels")
    library = editor.uri("blocks.yaml")
    assert {library, uri, editor.uri("second.yaml")} <= found.changes.keys()
    assert edited(BLOCKS, found.changes[library]) == BLOCKS.replace("depth", "channels")
    wanted = TEXT.replace("depth: 4", "channels: 4")
    assert edited(TEXT, found.changes[uri]) == wanted
    assert edited(TEXT, found.changes[editor.uri("second.yaml")]) == wanted


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("head", "does not fit"),
        ("not a name", "a name is letters"),
        ("forward", "does not fit"),
        ("bo-dy", "does not fit"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(editor: Editor, new: str, reason: str) -> None:
    uri = editor.open("names.yaml", TEXT)
    with pytest.raises(Exception, match=reason):
        rename(editor, uri, "=cat([bo‸dy", new)


def test_prepare_rename(editor: Editor) -> None:
    uri = editor.open("names.yaml", TEXT)
    at = editor.at(uri, marked(TEXT, "=cat([bo‸dy"))
    found = editor.ask(lsp.TEXT_DOCUMENT_PREPARE_RENAME, lsp.PrepareRenameParams(**at))
    line = TEXT.splitlines()[found.start.line]
    assert line[found.start.character : found.end.character] == "body"
    at = editor.at(uri, marked(TEXT, "padd‸ing: 1}\n  act"))
    assert editor.ask(lsp.TEXT_DOCUMENT_PREPARE_RENAME, lsp.PrepareRenameParams(**at)) is None


def test_code_actions(editor: Editor) -> None:
    uri = editor.open("wrong.yaml", WRONG)
    (problem,) = editor.problems(uri)
    found = editor.ask(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionParams(
            lsp.TextDocumentIdentifier(uri), problem.range, lsp.CodeActionContext([problem])
        ),
    )
    (action,) = found
    assert (action.title, action.kind, action.is_preferred) == (
        "write `kernel_size`", lsp.CodeActionKind.QuickFix, True,
    )  # fmt: skip
    assert [d.code for d in action.diagnostics] == ["NS203"]
    assert edited(WRONG, action.edit.changes[uri]) == TEXT


def test_symbols(editor: Editor) -> None:
    uri = editor.open("symbols.yaml", TEXT)
    found = editor.ask(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL, of(uri, lsp.DocumentSymbolParams))
    names = [symbol.name for symbol in found]
    assert names == [
        "x", "Twice", "stem", "act", "body", "side", "both", "flat", "head", "width", "classes",
    ]  # fmt: skip
    block = found[1]
    assert [(inner.name, inner.detail) for inner in block.children] == [
        ("conv", "Conv2d"), ("sum", "=conv + x.mean(1, keepdim=True)"), ("c", None),
    ]  # fmt: skip
    assert (block.range.start.line + 1, block.range.end.line + 1) == (7, 11)


def test_folds(editor: Editor) -> None:
    uri = editor.open("folds.yaml", TEXT)
    found = editor.ask(lsp.TEXT_DOCUMENT_FOLDING_RANGE, of(uri, lsp.FoldingRangeParams))
    assert [(fold.start_line + 1, fold.end_line + 1) for fold in found] == [
        (6, 11), (7, 11), (9, 11), (12, 21), (18, 20),
    ]  # fmt: skip


def tokens_of(editor: Editor, uri: str, text: str) -> list[tuple[str, str]]:
    legend = editor.result.capabilities.semantic_tokens_provider.legend.token_types
    data = editor.ask(
        lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, of(uri, lsp.SemanticTokensParams)
    ).data
    lines = [line.encode("utf-16-le") for line in text.split("\n")]
    found, line, character = [], 0, 0
    for i in range(0, len(data), 5):
        character = data[i + 1] + (character if data[i] == 0 else 0)
        line += data[i]
        part = lines[line][2 * character : 2 * (character + data[i + 2])].decode("utf-16-le")
        found.append((part, legend[data[i + 3]]))
    return found


def test_tokens(editor: Editor) -> None:
    uri = editor.open("tokens.yaml", TEXT)
    found = tokens_of(editor, uri, TEXT)
    start = found.index(("sum", "variable"))
    assert found[start : start + 7] == [
        ("sum", "variable"), ("conv", "variable"), ("x", "variable"), ("mean", "method"),
        ("1", "number"), ("True", "keyword"), ("stem", "variable"),
    ]  # fmt: skip
    start = found.index(("both", "variable"))
    assert found[start : start + 4] == [
        ("both", "variable"), ("cat", "function"), ("body", "variable"), ("side", "variable"),
    ]  # fmt: skip
    assert ("Conv2d", "class") in found and ("Shared", "type") in found


def test_characters_beyond_the_first_plane(folder: Path) -> None:
    text = TEXT.replace("name: Net", "name: Net\ndoc: '🙂 \u2028 \x85 🙃'").replace(
        "  both:", "  # 🙂🙂🙂\n  both:"
    )
    wrong = text.replace(
        "  head:", "  wide: {doc: '🙂🙂', module: Conv2d, from: stem, kernal_size: 3}\n  head:"
    )
    for encodings in (None, ["utf-8"], ["utf-32"]):
        editor = Editor(folder, encodings=encodings)
        uri = editor.open("wide.yaml", wrong)
        (problem,) = [d for d in editor.problems(uri) if "kernal_size" in d.message]
        code = (encodings or ["utf-16-le"])[0]
        size = {"utf-16-le": 2, "utf-8": 1, "utf-32": 4}[code]
        lines = wrong.split("\n")
        line = lines[problem.range.start.line].encode(code.replace("32", "32-le"))
        part = line[problem.range.start.character * size : problem.range.end.character * size]
        assert part.decode(code.replace("32", "32-le")) == "kernal_size"
        editor.close()


def test_in_place_decisions_are_told(folder: Path) -> None:
    editor = Editor(folder, "--act", "inplace", "--parameters")
    uri = editor.open("inplace.yaml", TEXT)
    at = editor.at(uri, marked(TEXT, "  ac‸t:  {act: relu"))
    found = editor.ask(lsp.TEXT_DOCUMENT_HOVER, lsp.HoverParams(**at)).contents.value
    assert "in place: ``no: `side.conv` (blocks.yaml:6) reads it later``" in found
    assert (13, "→ [N, 16, H, 32]  448") in hints_of(editor, uri)
    editor.close()
