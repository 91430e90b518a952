"""A session of random edits of a spec: no exception, no answer about a text that is gone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pygls")

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

import netspec
from tests.lsp.client import ROOT, Editor

MODELS = ROOT / "configs" / "model"
ZOO = sorted(path.relative_to(MODELS).as_posix() for path in MODELS.glob("**/*.yaml"))
QUICK = ("lenet.yaml", "resnet18.yaml", "blocks/resnet.yaml", "lstm_tagger.yaml")
SCRAPS = (
    "{", "}", "[", "]", ":", ",", "=", "\n", "  ", "#", "'", '"', "- ", "=x.", "module: Con",
    "🙂", "\t", "from: [", "null", "1e9", "block: ", "&a ", "*a", "|", "\u2028",
)  # fmt: skip


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("zoo") / "model"
    shutil.copytree(MODELS, folder)
    made = Editor(folder)
    yield made
    made.close()


def edited(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    match chance.randrange(4):
        case 0:
            return text[:at] + chance.choice(SCRAPS) + text[at:]
        case 1:
            return text[:at] + text[at + chance.randrange(1, 12) :]
        case 2:
            lines = text.splitlines(keepends=True) or [""]
            line = chance.randrange(len(lines))
            return "".join([*lines[:line], lines[chance.randrange(len(lines))], *lines[line:]])
        case _:
            lines = text.splitlines(keepends=True) or [""]
            del lines[chance.randrange(len(lines))]
            return "".join(lines)


def request(uri: str, text: str, chance: random.Random) -> tuple[str, Any]:
    document = lsp.TextDocumentIdentifier(uri)
    line = chance.randrange(text.count("\n") + 2)
    at = lsp.Position(line, chance.randrange(60))
    where = lsp.Range(lsp.Position(0, 0), lsp.Position(9_999, 0))
    all_of_them = lsp.ReferenceContext(include_declaration=True)
    return chance.choice(
        [
            (lsp.TEXT_DOCUMENT_HOVER, lsp.HoverParams(document, at)),
            (lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionParams(document, at)),
            (lsp.TEXT_DOCUMENT_SIGNATURE_HELP, lsp.SignatureHelpParams(document, at)),
            (lsp.TEXT_DOCUMENT_DEFINITION, lsp.DefinitionParams(document, at)),
            (lsp.TEXT_DOCUMENT_REFERENCES, lsp.ReferenceParams(all_of_them, document, at)),
            (lsp.TEXT_DOCUMENT_PREPARE_RENAME, lsp.PrepareRenameParams(document, at)),
            (lsp.TEXT_DOCUMENT_INLAY_HINT, lsp.InlayHintParams(document, where)),
            (lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL, lsp.DocumentSymbolParams(document)),
            (lsp.TEXT_DOCUMENT_FOLDING_RANGE, lsp.FoldingRangeParams(document)),
            (lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, lsp.SemanticTokensParams(document)),
            (
                lsp.TEXT_DOCUMENT_CODE_ACTION,
                lsp.CodeActionParams(document, where, lsp.CodeActionContext([])),
            ),
        ]
    )


def session(editor: Editor, name: str, edits: int, seed: int = 0) -> None:
    chance = random.Random(f"{name} {seed}")
    original = (MODELS / name).read_text(encoding="utf-8")
    uri, text = editor.open(name, original), original
    for _ in range(edits):
        text = original if chance.random() < 0.1 else edited(text, chance)
        editor.change(uri, text)
        if chance.random() < 0.7:
            try:
                editor.ask(*request(uri, text, chance))
            except JsonRpcException as error:
                pytest.fail(f"{error} on {text!r}")
    path = editor.folder / name
    told = sorted((d.range.start.line, d.code) for d in editor.problems(uri))
    fresh = netspec.analyse(text, path=path)
    is_spec = any(line.startswith("netspec:") for line in text.splitlines())
    if is_spec and not any(c in text for c in "\u2028\x85"):
        own = [d for d in fresh.diagnostics if d.span.file == str(path) or not d.span.line]
        assert told == sorted((max(0, d.span.line - 1), d.code) for d in own)
    assert editor.messages == []
    editor.close_file(uri)


@pytest.mark.parametrize("name", QUICK)
def test_a_short_session(editor: Editor, name: str) -> None:
    session(editor, name, 40)


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.parametrize("name", ZOO)
def test_a_session_over_each_spec(editor: Editor, name: str) -> None:
    session(editor, name, 30)


@pytest.mark.hunt
@pytest.mark.parametrize("name", ZOO)
def test_a_long_session(editor: Editor, name: str) -> None:
    session(editor, name, 200)


def test_an_older_question_gives_way(editor: Editor) -> None:
    """What is asked of a text that is changed before the answer gets none, or one of the new."""
    name = "zoo/t5.yaml"
    text = (MODELS / name).read_text(encoding="utf-8")
    uri = editor.open(name, text)
    where = lsp.Range(lsp.Position(0, 0), lsp.Position(999, 0))
    parameters = lsp.InlayHintParams(lsp.TextDocumentIdentifier(uri), where)

    async def both() -> tuple[object, list[lsp.InlayHint]]:
        protocol = editor.client.protocol
        old = protocol.send_request_async(lsp.TEXT_DOCUMENT_INLAY_HINT, parameters)
        editor.change(uri, text.replace("width: 768", "width: 384"))
        new = protocol.send_request_async(lsp.TEXT_DOCUMENT_INLAY_HINT, parameters)
        try:
            first: object = await old
        except JsonRpcException as error:
            first = error.code
        return first, await new

    first, second = editor.wait(both())
    labels = [hint.label for hint in second]
    assert any("384" in str(label) for label in labels)
    if isinstance(first, int):
        assert first == lsp.LSPErrorCodes.ContentModified
    else:
        assert [hint.label for hint in first] == labels  # type: ignore[attr-defined]
