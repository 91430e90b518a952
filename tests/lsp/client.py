"""An editor for tests: pygls' own client, over the standard streams of a server process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
MOST = 60  # seconds for one answer on a busy machine
START = "from netspec.cli import main; raise SystemExit(main())"


class Editor:
    """One server, and what it said of each file; positions are given as `text` with a `‸` in it."""

    def __init__(self, folder: Path, *options: str, encodings: list[str] | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = LanguageClient("tests", "1")
        self.diagnostics: dict[str, lsp.PublishDiagnosticsParams] = {}
        self.messages: list[str] = []
        self.versions: dict[str, int] = {}
        self.folder = folder

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def on_diagnostics(parameters: lsp.PublishDiagnosticsParams) -> None:
            self.diagnostics[parameters.uri] = parameters

        @self.client.feature(lsp.WINDOW_SHOW_MESSAGE)
        def on_message(parameters: lsp.ShowMessageParams) -> None:
            self.messages.append(parameters.message)

        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.wait(
            self.client.start_io(
                sys.executable, "-c", START, "lsp", *options, env=environment, cwd=folder
            )
        )
        general = lsp.GeneralClientCapabilities(position_encodings=encodings)  # type: ignore[arg-type]
        self.result = self.wait(
            self.client.initialize_async(
                lsp.InitializeParams(
                    capabilities=lsp.ClientCapabilities(general=general),
                    workspace_folders=[lsp.WorkspaceFolder(folder.as_uri(), "tests")],
                )
            )
        )
        self.client.initialized(lsp.InitializedParams())

    def wait(self, coming: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coming, MOST))

    def close(self) -> None:
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        self.wait(self.client.stop())
        self.loop.close()

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> str:
        """Opens a file of this text; gives its URI."""
        uri = self.uri(name)
        self.versions[uri] = 1
        item = lsp.TextDocumentItem(uri, lsp.LanguageKind.Yaml, 1, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, text: str) -> int:
        """The next version of an open file."""
        self.versions[uri] += 1
        version = self.versions[uri]
        self.client.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(version, uri),
                [lsp.TextDocumentContentChangeWholeDocument(text)],
            )
        )
        return version

    def close_file(self, uri: str) -> None:
        document = lsp.TextDocumentIdentifier(uri)
        self.client.text_document_did_close(lsp.DidCloseTextDocumentParams(document))

    def problems(self, uri: str) -> list[lsp.Diagnostic]:
        """What is wrong with the newest version of a file."""

        async def told() -> list[lsp.Diagnostic]:
            while True:
                found = self.diagnostics.get(uri)
                if found is not None and found.version == self.versions[uri]:
                    return list(found.diagnostics)
                await asyncio.sleep(0.002)

        return self.wait(told())

    def told_of(self, uri: str) -> lsp.PublishDiagnosticsParams:
        """What is told of a file that is not open, once it is."""

        async def told() -> lsp.PublishDiagnosticsParams:
            while uri not in self.diagnostics:
                await asyncio.sleep(0.002)
            return self.diagnostics[uri]

        return self.wait(told())

    def ask(self, method: str, parameters: Any) -> Any:
        async def answered() -> Any:
            return await self.client.protocol.send_request_async(method, parameters)

        return self.wait(answered())

    def at(self, uri: str, text: str) -> dict[str, Any]:
        """The parameters of a position: that of the `‸` in a text."""
        before = text[: text.index("‸")]
        line = before.count("\n")
        character = len(before.rpartition("\n")[2].encode("utf-16-le")) // 2
        return {
            "text_document": lsp.TextDocumentIdentifier(uri),
            "position": lsp.Position(line, character),
        }
