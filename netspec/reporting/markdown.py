"""A page's Markdown on a terminal: headings, paragraphs, code; what our own pages use of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netspec.display import Look, paint, visible, wrapped

_WIDEST = 100  # columns of a paragraph; longer lines are hard to read
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`[^`]+`")
_FENCE = "```"
_KEPT_BLANK = "\ue000"  # inside `code`, which is not broken


def markdown_text(text: str, look: Look) -> str:
    """The page as text for a terminal; code blocks are indented, and keep their lines."""
    return "\n".join(_lines(text, look)) + "\n"


def _lines(text: str, look: Look) -> Iterator[str]:
    paragraph: list[str] = []
    inside = False
    for line in [*text.splitlines(), _FENCE]:  # the last one ends the last paragraph, as any fence
        if inside and not line.startswith(_FENCE):
            yield f"    {paint(look, 'code', visible(line))}".rstrip()
        elif line.strip() and not line.startswith(("#", _FENCE)):
            paragraph.append(line.strip())
        else:
            yield from _paragraph(paragraph, look)
            paragraph = []
            if line.startswith(_FENCE):
                inside = not inside
            else:
                yield paint(look, "strong", visible(line.lstrip("# ")))


def _paragraph(lines: list[str], look: Look) -> Iterator[str]:
    if not lines:
        return
    width = _WIDEST if look.width is None else min(look.width, _WIDEST)
    text = _STRONG.sub(r"\1", _LINK.sub(r"\1", " ".join(lines)))
    text = _CODE.sub(lambda match: match[0].replace(" ", _KEPT_BLANK), text)
    for line in wrapped(text, width):
        shown = line.replace(_KEPT_BLANK, " ")
        yield _CODE.sub(lambda match: paint(look, "code", match[0]), shown)
