"""A picture as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from netspec.analysis.analyse import Analysis
from netspec.display import visible
from netspec.drawing.graph import Card, Drawing, drawing_of

HERE = Path(__file__).parent
_MOST_TEXT = 2_000_000  # characters of the spec's files that travel with the page


def page_html(analysis: Analysis, version: str = "") -> str:
    """The page of a spec, right or wrong; with a `version` it asks its server for a newer one.

    What the spec says reaches it as data alone: no text of it is ever read as markup, and only the
    page's own scripts run.
    """
    graph = drawing_of(analysis)
    return page_of(visible(graph.name), _data(graph, analysis) | {"version": version})


def page_of(name: str, content: Mapping[str, object]) -> str:
    """The page with this title that draws this content."""
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    watched = bool(content.get("version"))
    names = ["vendor/dagre.min.js", "page.js", *(["watch.js"] if watched else [])]
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in names]
    rule = "; ".join(
        [
            "default-src 'none'",
            "style-src 'unsafe-inline'",
            f"script-src {' '.join(map(_hash, scripts))}",
            "connect-src 'self'" if watched else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    title = escape(name)
    licence = escape((HERE / "vendor" / "dagre.LICENSE").read_text(encoding="utf-8"))
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{rule}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            (HERE / "body.html").read_text(encoding="utf-8"),
            f'<script type="application/json" id="data">{data}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            f"<!-- dagre, which lays the picture out:\n{licence}\n-->",
            "</body>\n</html>\n",
        ]
    )


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(graph: Drawing, analysis: Analysis) -> dict[str, object]:
    costs = graph.costs
    return {
        "name": visible(graph.name),
        "parameters": None if costs is None else costs.parameters,
        "cards": [card_data(card) for card in graph.cards],
        "lines": [[line.source, line.target, line.argument, line.is_same] for line in graph.lines],
        "mistakes": [
            {
                "code": d.code, "fact": visible(d.fact), "help": visible(d.help or ""),
                "file": visible(d.span.file), "line": d.span.line,
            }
            for d in graph.diagnostics
        ],
        "at": {} if costs is None else dict(costs.probe),
        "approximate": costs is not None and costs.approximate,
        "texts": texts_of(analysis),
        "paths": paths_of(analysis),
    }  # fmt: skip


def card_data(card: Card) -> dict[str, object]:
    """A card as the page's script reads it."""
    node, row = card.node, card.row
    found: dict[str, object] = {
        "path": node.path,
        "kind": node.kind,
        "what": visible(" ".join(node.operation.split())),
        "state": node.state,
        "inputs": [one.text if one is not None else "?" for one in node.inputs],
        "output": node.output.text if node.output is not None else "",
        "times": card.times,
        "parameters": card.parameters,
        "shapes": [[p.name, list(p.shape)] for p in node.parameters],
        "flops": None if row is None else row.flops,
        "held": None if row is None else row.saved_bytes,
        "file": node.place.file,
        "line": node.place.line,
        "inner": [card_data(inner) for inner in card.inner],
    }
    if node.in_place is not None:
        found["inPlace"] = {
            "taken": node.in_place.taken, "reason": visible(node.in_place.reason),
        }  # fmt: skip
    if card.mistakes:
        found["mistakes"] = [visible(text) for text in card.mistakes]
    if card.mark is not None:
        found["change"] = card.mark.kind
        found["facts"] = [visible(text) for text in card.mark.facts]
        found["twin"] = card.mark.twin
    return found


def _files(analysis: Analysis) -> Iterator[str]:
    yield from dict.fromkeys(node.place.file for node in analysis.nodes if node.place.line)


def texts_of(analysis: Analysis) -> Mapping[str, list[str]]:
    """The lines of the spec's files, as they were analysed."""
    found: dict[str, list[str]] = {}
    left = _MOST_TEXT
    for node in analysis.nodes:
        span = node.place
        if span.line and span.file not in found and left > 0:
            text = analysis.text_of(span.file)
            if text is not None:
                left -= len(text)
                found[span.file] = [visible(line) for line in text.splitlines()]
    return found


def paths_of(analysis: Analysis) -> Mapping[str, str]:
    """Where the files are, for links to an editor."""
    return {file: os.path.abspath(file) for file in _files(analysis) if not file.startswith("<")}
