"""Diagnostics as an editor shows them, and their fixes as its code actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from lsprotocol import types as lsp

from netspec.display import visible
from netspec.errors import Diagnostic, Fix, Span
from netspec.lsp.document import Document, same_file, uri_of
from netspec.lsp.positions import Positions
from netspec.reporting.data import message_of

# Where a span of any file lies: its URI, its range there.
Locate = Callable[[Span], lsp.Location]


def by_file(
    document: Document,
    diagnostics: Sequence[Diagnostic],
    locate: Locate,
    pages: Mapping[str, str],
) -> dict[str, list[lsp.Diagnostic]]:
    """The diagnostics by the URI of the file that they are in; what is in none, in the document."""
    found: dict[str, list[lsp.Diagnostic]] = {document.uri: []}
    for each in diagnostics:
        is_own = not each.span.line or same_file(each.span.file, document.file)
        uri = document.uri if is_own else uri_of(each.span.file)
        where = (
            document.positions.range_of(each.span) if is_own else locate(each.span).range
        )  # fmt: skip
        found.setdefault(uri, []).append(_as_lsp(each, where, locate, pages))
    return found


def _as_lsp(
    diagnostic: Diagnostic, where: lsp.Range, locate: Locate, pages: Mapping[str, str]
) -> lsp.Diagnostic:
    page = pages.get(diagnostic.code)
    return lsp.Diagnostic(
        range=where,
        message=_shown(message_of(diagnostic, diagnostic.notes)),
        severity=lsp.DiagnosticSeverity.Error,
        code=diagnostic.code,
        code_description=None if page is None else lsp.CodeDescription(page),
        source="netspec",
        related_information=[
            lsp.DiagnosticRelatedInformation(locate(related.span), visible(related.fact))
            for related in diagnostic.related
            if related.span.line
        ],
    )


def _shown(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def actions(
    document: Document,
    diagnostics: Sequence[Diagnostic],
    at: lsp.Range,
    shown: Sequence[lsp.Diagnostic],
) -> Iterator[lsp.CodeAction]:
    """The edits that mend what is wrong in a range."""
    for each in diagnostics:
        if not each.span.line or not same_file(each.span.file, document.file):
            continue
        where = document.positions.range_of(each.span)
        if not _overlap(where, at):
            continue
        own = [d for d in shown if d.code == each.code and d.range == where]
        for fix in each.fixes:
            yield lsp.CodeAction(
                title=visible(fix.title),
                kind=lsp.CodeActionKind.QuickFix,
                diagnostics=own,
                is_preferred=len(each.fixes) == 1,
                edit=lsp.WorkspaceEdit(changes={document.uri: [edit_of(fix, document.positions)]}),
            )


def edit_of(fix: Fix, positions: Positions) -> lsp.TextEdit:
    start = positions.index_of_place(fix.span.line, fix.span.column)
    end = positions.index_of_place(fix.span.line, fix.span.column + fix.span.width)
    return lsp.TextEdit(positions.range_between(start, end), fix.replacement)


def _overlap(a: lsp.Range, b: lsp.Range) -> bool:
    return a.start <= b.end and b.start <= a.end
