"""The server: each message of the protocol → the module that answers it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

from lsprotocol import types as lsp
from pygls import uris
from pygls.exceptions import JsonRpcContentModified, JsonRpcException
from pygls.lsp.server import LanguageServer

from netspec import __version__
from netspec.analysis.analyse import Analysis, analyse
from netspec.lsp import completion, diagnostics, hints, outline, tokens
from netspec.lsp.cursor import cursor_at
from netspec.lsp.definition import file_named
from netspec.lsp.document import Document, Opened, rows_by_path, uri_of
from netspec.lsp.hover import hover
from netspec.lsp.references import FoundName, find_name, name_alone, renamed, unfit, why_not
from netspec.lsp.signature import signature_help
from netspec.lsp.workspace import Settings, Workspace
from netspec.reporting.pages import read_pages

_WARM = "netspec: 1\ninputs: {x: [N, 4]}\nlayers: {a: {module: Linear, out_features: 4}}\n"
_BUSY = 0.5  # seconds after the last change until costs are asked


class SpecServer(LanguageServer):
    """A language server over one workspace."""

    def __init__(self, settings: Settings) -> None:
        # Whole texts: pygls parts lines at characters that are none for the protocol, and so would
        # put an edit into the wrong place.
        super().__init__(
            "netspec", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full
        )
        self.specs = Workspace(settings, self._answered)
        self.pages: Mapping[str, str] = {
            code: uri_of(str(page.path)) for code, page in read_pages().items()
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown: dict[str, dict[str, list[lsp.Diagnostic]]] = {}  # by who found them

    def start(self, parameters: lsp.InitializeParams) -> None:
        self._loop = asyncio.get_running_loop()
        self.specs.encoding = self.workspace.position_encoding or self.specs.encoding
        folders = [folder.uri for folder in parameters.workspace_folders or []]
        if not folders and parameters.root_uri:
            folders = [parameters.root_uri]
        found = [uris.to_fs_path(uri) for uri in folders]
        self.specs.folders = [Path(path) for path in found if path is not None]

    def warm_up(self) -> None:
        """torch's first answers take seconds: they are asked before anybody waits."""
        self.specs.worker.ask("warm up", lambda: analyse(_WARM, path="warm.yaml"), idle=True)

    def _answered(self, opened: Opened) -> None:
        """In the worker's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, opened)

    def _tell(self, opened: Opened) -> None:
        """Shows what is wrong, if the text is still the one that was looked at."""
        document, analysis = opened.document, opened.latest
        if self.specs.opened.get(document.uri) is not opened or analysis is None:
            return
        found: dict[str, list[lsp.Diagnostic]] = {document.uri: []}
        if document.is_spec:
            found = diagnostics.by_file(
                document, analysis.diagnostics, self.specs.locate, self.pages
            )
        self._show(document, found)
        if self._loop is not None and document.is_spec:
            self._loop.call_later(_BUSY, self._ask_costs, opened)

    def _ask_costs(self, opened: Opened) -> None:
        if self.specs.opened.get(opened.document.uri) is opened:
            self.specs.ask_costs(opened)

    def _show(self, document: Document, found: dict[str, list[lsp.Diagnostic]]) -> None:
        before = self._shown.get(document.uri, {})
        self._shown[document.uri] = found
        for uri in {**before, **found}:
            others = [of for by, of in self._shown.items() if by != document.uri]
            more = [d for of in others for d in of.get(uri, [])]
            own = [d for d in found.get(uri, []) if d not in more]
            version = document.version if uri == document.uri else None
            self.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(uri, [*own, *more], version)
            )

    def forget(self, uri: str) -> None:
        opened = self.specs.opened.get(uri)
        self.specs.close(uri)
        if opened is not None:
            self._show(opened.document, {})
            self._shown.pop(uri, None)

    def opened(self, uri: str) -> Opened:
        found = self.specs.opened.get(uri)
        if found is None:
            raise JsonRpcException(f"{uri} is not open", lsp.ErrorCodes.InvalidParams)
        return found


async def answer_of(future: Future[Analysis]) -> Analysis:
    """The analysis that is under way. Raises JsonRpcContentModified where the text was changed."""
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        if future.cancelled():
            raise JsonRpcContentModified("the text was changed") from None
        raise


def make_server(settings: Settings) -> SpecServer:
    """The server with all that it answers."""
    server = SpecServer(settings)
    _synchronize(server)
    _tell_of_places(server)
    _tell_of_texts(server)
    _tell_of_names(server)
    return server


def serve(settings: Settings) -> None:
    """Answers on the standard streams until the client ends it."""
    server = make_server(settings)
    messages, sys.stdout = sys.stdout, sys.stderr  # what anything prints is no message
    try:
        server.start_io(sys.stdin.buffer, messages.buffer)
    finally:
        sys.stdout = messages
        server.specs.worker.close()


def _synchronize(server: SpecServer) -> None:
    specs = server.specs

    @server.feature(lsp.INITIALIZE)
    def initialize(parameters: lsp.InitializeParams) -> None:
        server.start(parameters)

    @server.feature(lsp.INITIALIZED)
    def initialized(_: lsp.InitializedParams) -> None:
        server.warm_up()

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(parameters: lsp.DidOpenTextDocumentParams) -> None:
        given = parameters.text_document
        specs.put(given.uri, given.text, given.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(parameters: lsp.DidChangeTextDocumentParams) -> None:
        given = parameters.text_document
        specs.put(given.uri, parameters.content_changes[-1].text, given.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(parameters: lsp.DidCloseTextDocumentParams) -> None:
        server.forget(parameters.text_document.uri)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(parameters: lsp.DidChangeWatchedFilesParams) -> None:
        files = [uris.to_fs_path(change.uri) for change in parameters.changes]
        specs.refresh([file for file in files if file is not None])


def _tell_of_places(server: SpecServer) -> None:
    """What is asked of a position."""

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def on_hover(parameters: lsp.HoverParams) -> lsp.Hover | None:
        opened = server.opened(parameters.text_document.uri)
        if not opened.document.is_spec:
            return None
        line, column = opened.document.positions.place_of(parameters.position)
        analysis = await answer_of(opened.analysis)
        nodes = server.specs.nodes_of(opened, analysis)
        costs = opened.costs
        text = hover(analysis, nodes, rows_by_path(costs), costs, line, column)
        if text is None:
            return None
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text))

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.CompletionOptions(
            trigger_characters=["=", ".", " ", "{", ",", "["], resolve_provider=True
        ),
    )
    def on_completion(parameters: lsp.CompletionParams) -> lsp.CompletionList | None:
        opened = server.opened(parameters.text_document.uri)
        positions = opened.document.positions
        index = positions.index_of(parameters.position)
        cursor = cursor_at(opened.document.text, index) if opened.document.is_spec else None
        if cursor is None:
            return None
        start, end, is_key = completion.word_around(opened.document.text, index)
        return completion.complete(
            cursor, opened.latest, positions.range_between(start, end), is_key
        )

    @server.feature(lsp.COMPLETION_ITEM_RESOLVE)
    def on_resolve(item: lsp.CompletionItem) -> lsp.CompletionItem:
        return completion.resolve(item)

    @server.feature(
        lsp.TEXT_DOCUMENT_SIGNATURE_HELP,
        lsp.SignatureHelpOptions(trigger_characters=["(", ",", " ", ":"]),
    )
    def on_signature(parameters: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
        opened = server.opened(parameters.text_document.uri)
        index = opened.document.positions.index_of(parameters.position)
        cursor = cursor_at(opened.document.text, index) if opened.document.is_spec else None
        if cursor is None:
            return None
        return signature_help(cursor, opened.latest.block_args if opened.latest else {})


def _tell_of_texts(server: SpecServer) -> None:
    """What is asked of a whole text, or of a stretch of it."""

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    async def on_hints(parameters: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        opened = server.opened(parameters.text_document.uri)
        if not opened.document.is_spec:
            return []
        analysis = await answer_of(opened.analysis)
        nodes = server.specs.nodes_of(opened, analysis)
        with_parameters = server.specs.settings.with_parameters
        return list(
            hints.hints(opened.document, analysis, nodes, parameters.range, with_parameters)
        )

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix]),
    )
    async def on_actions(parameters: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        opened = server.opened(parameters.text_document.uri)
        if not opened.document.is_spec:
            return []
        analysis = await answer_of(opened.analysis)
        shown = parameters.context.diagnostics
        return list(
            diagnostics.actions(opened.document, analysis.diagnostics, parameters.range, shown)
        )

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def on_symbols(parameters: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        opened = server.opened(parameters.text_document.uri)
        analysis = await answer_of(opened.analysis)
        if analysis.source is None or not opened.document.is_spec:
            return []
        return outline.symbols(opened.document, analysis.source)

    @server.feature(lsp.TEXT_DOCUMENT_FOLDING_RANGE)
    async def on_folds(parameters: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
        opened = server.opened(parameters.text_document.uri)
        analysis = await answer_of(opened.analysis)
        if analysis.source is None or not opened.document.is_spec:
            return []
        return outline.folds(opened.document, analysis.source)

    @server.feature(lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, tokens.LEGEND)
    async def on_tokens(parameters: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
        opened = server.opened(parameters.text_document.uri)
        if not opened.document.is_spec:
            return lsp.SemanticTokens([])
        return tokens.tokens(opened.document, await answer_of(opened.analysis))


def _tell_of_names(server: SpecServer) -> None:
    """Names over all texts that know them."""
    specs = server.specs

    async def found_at(uri: str, position: lsp.Position, everywhere: bool) -> FoundName | None:
        opened = server.opened(uri)
        if not opened.document.is_spec:
            return None
        line, column = opened.document.positions.place_of(position)
        analysis = await answer_of(opened.analysis)
        alone = find_name(analysis, line, column, ())
        if alone is None or not everywhere or alone.name.kind not in ("block", "arg"):
            return alone
        home = alone.name.definition.file

        def ask() -> FoundName | None:
            others = [*specs.including(home, alone.name.name)]
            own = specs.text_of(home)
            if own is not None:
                others.append(specs.analysed(own, home))
            return find_name(analysis, line, column, others)

        return await asyncio.shield(
            asyncio.wrap_future(specs.worker.ask(("names", uri), ask))
        )  # fmt: skip

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def on_definition(parameters: lsp.DefinitionParams) -> lsp.Location | None:
        uri, position = parameters.text_document.uri, parameters.position
        found = await found_at(uri, position, everywhere=False)
        if found is not None:
            return specs.locate(found.name.definition)
        opened = server.opened(uri)
        line, column = opened.document.positions.place_of(position)
        file = file_named(await answer_of(opened.analysis), line, column)
        if file is None:
            return None
        start = lsp.Position(0, 0)
        return lsp.Location(uri_of(str(file)), lsp.Range(start, start))

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def on_references(parameters: lsp.ReferenceParams) -> list[lsp.Location]:
        found = await found_at(parameters.text_document.uri, parameters.position, everywhere=True)
        if found is None:
            return []
        first = 0 if parameters.context.include_declaration else 1
        return [specs.locate(span) for span in found.places[first:]]

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def on_prepare(parameters: lsp.PrepareRenameParams) -> lsp.Range | None:
        uri = parameters.text_document.uri
        found = await found_at(uri, parameters.position, everywhere=False)
        if found is None:
            return None
        return specs.locate(name_alone(found.at, found.name.name)).range

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def on_rename(parameters: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        uri, new = parameters.text_document.uri, parameters.new_name
        found = await found_at(uri, parameters.position, everywhere=True)
        if found is None:
            return None
        work = specs.worker.ask(("rename", uri), lambda: _renaming(specs, found, new))
        changes = await asyncio.shield(asyncio.wrap_future(work))
        if isinstance(changes, str):
            raise JsonRpcException(changes, lsp.LSPErrorCodes.RequestFailed)
        return lsp.WorkspaceEdit(changes=changes)


def _renaming(specs: Workspace, found: FoundName, new: str) -> dict[str, list[lsp.TextEdit]] | str:
    """The edits by file that give a name another one, or why it can't have that."""
    name = found.name
    reason = why_not(name, new)
    if reason is not None:
        return reason
    texts: dict[str, str] = {}
    changed: dict[str, str] = {}
    changes: dict[str, list[lsp.TextEdit]] = {}
    for file in dict.fromkeys(span.file for span in found.places):
        places = [span for span in found.places if span.file == file]
        text = specs.text_of(file)
        after = None if text is None else renamed(text, places, name.name, new)
        if text is None or after is None:
            return f"not all places of `{name.name}` in {file} can be written anew"
        texts[file], changed[file] = text, after
        where = [specs.locate(name_alone(span, name.name)) for span in places]
        changes[where[0].uri] = [lsp.TextEdit(each.range, new) for each in where]
    return unfit(new, texts, changed, specs.analysed) or changes
