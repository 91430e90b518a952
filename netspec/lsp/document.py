"""A file that is open in the editor: its text, and what is known of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pygls import uris

from netspec.analysis.analyse import Analysis
from netspec.analysis.model import Node
from netspec.lsp.positions import Encoding, Positions
from netspec.source import Path as TextPath
from netspec.spec_text import says_it_is_a_spec
from netspec.view.summary import Row, Summary


class Document:
    """One version of an open file."""

    def __init__(self, uri: str, text: str, version: int | None, encoding: Encoding) -> None:
        self.uri = uri
        self.text = text
        self.version = version
        self.encoding = encoding
        self.file = path_of(uri)

    @cached_property
    def positions(self) -> Positions:
        return Positions(self.text, self.encoding)

    @property
    def is_spec(self) -> bool:
        """Whether it says that it is one: other YAML files are left alone."""
        return says_it_is_a_spec(self.text)


@dataclass(slots=True, eq=False)
class Opened:
    """An open file: its newest version, the answer about it, and the newest answer that is there.

    `costs` are those of `latest`.
    """

    document: Document
    analysis: Future[Analysis]
    latest: Analysis | None = None
    costs: Summary | None = None


def path_of(uri: str) -> str:
    """The path of a file; of a text that is in none, one where it might be."""
    path: str | None = uris.to_fs_path(uri)
    if path is not None:
        return path
    name = re.sub(r"\W+", "_", uri.rpartition("/")[2]) or "untitled"
    return str(Path.cwd() / f"{name}.yaml")


def uri_of(file: str) -> str:
    uri: str | None = uris.from_fs_path(os.path.abspath(file))
    assert uri is not None, "a path has a URI"
    return uri


def same_file(a: str, b: str) -> bool:
    return a == b or os.path.realpath(a) == os.path.realpath(b)


def nodes_in(analysis: Analysis, file: str) -> dict[TextPath, list[Node]]:
    """The nodes of the layers that a file has, by their paths in its text, in all their copies."""
    is_here: dict[str, bool] = {}
    found: dict[TextPath, list[Node]] = {}
    for node in analysis.nodes:
        own = node.place.file
        if own not in is_here:
            is_here[own] = same_file(own, file)
        if is_here[own]:
            found.setdefault(node.text_path, []).append(node)
    return found


def rows_by_path(costs: Summary | None) -> Mapping[str, Row]:
    return {} if costs is None else {row.path: row for row in costs.rows}
