"""Diagnostics for code scanning: SARIF 2.1.0."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import netspec
from netspec.errors import Diagnostic, Note, Span
from netspec.reporting.data import Found, message_of, region
from netspec.reporting.pages import Page

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_KEYS = ("startLine", "startColumn", "endLine", "endColumn")
_LINK = re.compile(r"\](?=\()")


def sarif_of(
    found: Iterable[Found], pages: Mapping[str, Page], notes: Iterable[Note] = ()
) -> dict[str, object]:
    """A SARIF log of one run, with a rule for every code that has a page; notes have none.

    Paths are relative to the folder in which netspec runs, if they lie in it.
    """
    driver = {
        "name": "netspec",
        "version": netspec.__version__,
        "rules": [_rule(page) for page in pages.values()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [*(_result(one, list(pages)) for one in found), *map(_note, notes)],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(page: Page) -> dict[str, object]:
    # The Markdown is not escaped: what shows it shows the braces of its examples as they are.
    return {
        "id": page.code,
        "shortDescription": {"text": _escaped(page.title)},
        "fullDescription": {"text": _escaped(page.summary)},
        "helpUri": page.path.as_uri(),
        "help": {"text": _escaped(page.summary), "markdown": page.text},
        "defaultConfiguration": {"level": "error"},
    }


def _result(found: Found, codes: list[str]) -> dict[str, object]:
    diagnostic = found.diagnostic
    index = {"ruleIndex": codes.index(diagnostic.code)} if diagnostic.code in codes else {}
    return {
        "ruleId": diagnostic.code,
        **index,
        "level": diagnostic.severity,
        "message": {"text": _escaped(message_of(diagnostic, found.notes))},
        "locations": [_location(found.place, diagnostic.span)],
        **_fixes(diagnostic),
    }


def _note(note: Note) -> dict[str, object]:
    return {
        "level": "note",
        "message": {"text": _escaped(note.text)},
        "locations": [_location(note.span.file, note.span)],
    }


def _location(file: str, span: Span) -> dict[str, object]:
    location: dict[str, object] = {"artifactLocation": _artifact(file)}
    if span.line:
        location["region"] = region(span, _KEYS)
    return {"physicalLocation": location}


def _fixes(diagnostic: Diagnostic) -> dict[str, object]:
    """The `fixes` of a result; nothing where there are none."""
    found = [
        {
            "description": {"text": _escaped(fix.title)},
            "artifactChanges": [
                {
                    "artifactLocation": _artifact(fix.span.file),
                    "replacements": [
                        {
                            "deletedRegion": region(fix.span, _KEYS),
                            "insertedContent": {"text": fix.replacement},
                        }
                    ],
                }
            ],
        }
        for fix in diagnostic.fixes
    ]
    return {"fixes": found} if found else {}


def _artifact(file: str) -> dict[str, str]:
    path, here = Path(os.path.abspath(file)), Path.cwd()
    if not path.is_relative_to(here):
        return {"uri": path.as_uri()}
    inside = os.fsencode(path.relative_to(here).as_posix())  # a name may be no text
    return {"uri": quote(inside), "uriBaseId": "%SRCROOT%"}


def _escaped(text: str) -> str:
    """A text as SARIF has it (3.11.5, 3.11.6): braces are doubled, and what is no link is none."""
    return _LINK.sub(r"\\]", text.replace("{", "{{").replace("}", "}}"))
