"""The JSON Schema in yaml-language-server, the server that editors have for YAML; npm installs it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls")

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from netspec.ops import catalog
from netspec.view.json_schema import language_schema

SERVER = "yaml-language-server@1.25.0"
NODE, NPM = shutil.which("node"), shutil.which("npm")
HEAD = "netspec: 1\ninputs: {x: [N, 3, 8, 8]}\nlayers:\n"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None or NPM is None, reason="no Node and npm here"),
]


class YamlServer:
    """The server, with the schema for all files."""

    def __init__(self, folder: Path) -> None:
        install = [NPM or "", "install", SERVER, "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300)
        if re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT", done.stderr):
            pytest.skip("npm reaches no registry")
        assert done.returncode == 0, done.stderr
        schema = folder / "netspec.schema.json"
        schema.write_text(json.dumps(language_schema()), encoding="utf-8")
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.client = LanguageClient("tests", "1")
        self.diagnostics: dict[str, Sequence[lsp.Diagnostic]] = {}
        yaml = {"schemas": {schema.as_uri(): "*.yaml"}, "schemaStore": {"enable": False}}

        @self.client.feature(lsp.WORKSPACE_CONFIGURATION)
        def on_configuration(asked: lsp.ConfigurationParams) -> list[object]:
            return [yaml if item.section == "yaml" else None for item in asked.items]

        @self.client.feature(lsp.CLIENT_REGISTER_CAPABILITY)
        def on_capability(_: lsp.RegistrationParams) -> None:
            return None

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def on_diagnostics(told: lsp.PublishDiagnosticsParams) -> None:
            self.diagnostics[told.uri] = told.diagnostics

        program = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
        self.wait(self.client.start_io(NODE or "", str(program), "--stdio"))
        workspace = lsp.WorkspaceClientCapabilities(configuration=True)
        self.wait(
            self.client.initialize_async(
                lsp.InitializeParams(
                    capabilities=lsp.ClientCapabilities(workspace=workspace),
                    root_uri=folder.as_uri(),
                )
            )
        )
        self.client.initialized(lsp.InitializedParams())

    def wait(self, coming: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coming, 60))

    def close(self) -> None:
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        self.wait(self.client.stop())
        self.loop.close()

    def open(self, layers: str) -> tuple[str, lsp.Position]:
        """Opens a spec of these layers; gives its URI, and where the `‸` stands, once it is told of."""
        text = HEAD + layers
        before = text.partition("‸")[0]
        uri = (self.folder / f"spec{len(self.diagnostics)}.yaml").as_uri()
        item = lsp.TextDocumentItem(uri, lsp.LanguageKind.Yaml, 1, text.replace("‸", ""))
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

        async def told() -> None:
            while uri not in self.diagnostics:
                await asyncio.sleep(0.01)

        self.wait(told())
        return uri, lsp.Position(before.count("\n"), len(before.rpartition("\n")[2]))

    def completed(self, layers: str) -> set[str]:
        uri, position = self.open(layers)
        asked = lsp.CompletionParams(lsp.TextDocumentIdentifier(uri), position)
        found = self.wait(self.client.text_document_completion_async(asked))
        items = found.items if isinstance(found, lsp.CompletionList) else found or []
        return {item.label for item in items}

    def hovered(self, layers: str) -> str:
        uri, position = self.open(layers)
        asked = lsp.HoverParams(lsp.TextDocumentIdentifier(uri), position)
        found = self.wait(self.client.text_document_hover_async(asked))
        assert isinstance(found, lsp.Hover) and isinstance(found.contents, lsp.MarkupContent)
        return found.contents.value

    def refused(self, layers: str) -> list[str]:
        uri, _ = self.open(layers)
        return [str(each.message) for each in self.diagnostics[uri]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YamlServer]:
    made = YamlServer(tmp_path_factory.mktemp("yaml"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("  a: {module: Con‸}\n", catalog.module_names()),
        ("  a:\n    module: ‸\n", catalog.module_names()),
        ("  a:\n    call: ‸\n", catalog.function_names()),
        ("  a: {call: ma‸}\n", catalog.function_names()),
        ("  a: {act: ‸}\n", catalog.activation_names()),
        ("  a:\n    act: re‸\n", catalog.activation_names()),
        ("  a: {module: Linear, out_features: 4, init: {weight: ‸}}\n", catalog.init_names()),
    ],
)
def test_names_are_completed(server: YamlServer, layers: str, names: Sequence[str]) -> None:
    assert server.completed(layers) == {*names}


def test_keys_and_choices_are_completed(server: YamlServer) -> None:
    keys = server.completed("  a:\n    module: Conv2d\n    ‸\n")
    assert {"out_channels", "kernel_size", "from", "repeat"} <= keys
    choices = server.completed("  a:\n    module: Conv2d\n    padding_mode: ‸\n")
    assert {"zeros", "reflect"} <= choices


def test_what_torch_says_of_a_name_is_shown_once(server: YamlServer) -> None:
    shown = server.hovered("  a: {module: Con‸v2d, out_channels: 6, kernel_size: 5}\n")
    assert shown.count("Applies a 2D convolution") == 1


def test_what_is_wrong_is_told_once(server: YamlServer) -> None:
    assert server.refused("  a: {module: Conv2d, out_channels: 6, kernel_size: 5}\n") == []
    assert server.refused("  a: {module: =b}\n  b: {act: relu}\n") == []
    (unknown,) = server.refused("  a: {module: Conv2e}\n")
    assert "there is no module of this name for specs" in unknown
    (argument,) = server.refused("  a: {module: Linear, out_features: 6, biass: true}\n")
    assert "biass" in argument
