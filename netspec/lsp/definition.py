"""The file that a text names: behind `include: blocks.yaml`, behind `spec: resnet50`."""

from __future__ import annotations

from pathlib import Path

from netspec.analysis.analyse import Analysis
from netspec.lsp.scope import role_of


def file_named(analysis: Analysis, line: int, column: int) -> Path | None:
    """The file behind a name at a place; only one that was read for the analysis."""
    source = analysis.source
    if source is None:
        return None
    path = source.path_at(line, column)
    keys = [str(step) for step in path if isinstance(step, str)]
    if not keys or keys[-1] not in ("include", "spec") or role_of(path[:-1]) == "other":
        return None
    span = source.span_of(path)
    if not (span.line == line and span.column <= column <= span.column + span.width):
        return None
    named = span.text[span.column - 1 : span.column - 1 + span.width].strip("\"'")
    for file in analysis.files:
        if file.stem == named or file.as_posix().endswith(f"/{named}"):
            return file
    return None
