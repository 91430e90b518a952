"""`netspec explain`: the page of a code, or the list of all codes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable

from netspec.display import paint, visible
from netspec.reporting.markdown import markdown_text
from netspec.reporting.pages import Page, find_code, near_codes, read_pages
from netspec.reporting.terminal import look_of


def explain_command(options: Namespace) -> int:
    """Print; gives the exit status. In a pipe a page is the Markdown that it is written in."""
    pages = read_pages()
    if options.code is None:
        sys.stdout.write(_list(pages.values()))
        return 0
    code = find_code(options.code, pages)
    if code is None:
        near = " or ".join(near_codes(options.code, pages))
        offer = f"did you mean {near}?" if near else "`netspec explain` lists all codes"
        sys.stderr.write(f"there is no code `{visible(options.code)}`; {offer}\n")
        return 2
    look = look_of(sys.stdout)
    plain = look.width is None and not look.colour
    text = pages[code].text
    sys.stdout.write(text if plain else markdown_text(text, look))
    return 0


def _list(pages: Iterable[Page]) -> str:
    look = look_of(sys.stdout)
    lines: list[str] = []
    before = None
    for page in pages:
        if before not in (None, page.code[:3]):
            lines.append("")
        before = page.code[:3]
        lines.append(f"{paint(look, 'strong', page.code)}  {page.title}")
    return "\n".join(lines) + "\n"
