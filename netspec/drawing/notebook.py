"""`netspec.show`: the picture of a spec, in a notebook or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from netspec.analysis.analyse import analyse
from netspec.drawing.page import page_html
from netspec.errors import Diagnostic, render
from netspec.language.load import Spec
from netspec.language.overrides import Overrides
from netspec.request import Act

_HEIGHT = 640  # pixels, in a notebook


class Picture:
    """A page that draws a network. A notebook shows it; `save` writes it, `html` is its text."""

    def __init__(self, html: str, diagnostics: Sequence[Diagnostic]) -> None:
        self.html = html
        self.diagnostics = tuple(diagnostics)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page; a file that is there is overwritten. Raises OSError."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        # In a frame of its own origin: its script reaches nothing of the notebook.
        page = escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        mistakes = "".join(f"\n{render(each)}" for each in self.diagnostics)
        return f"<a picture, {len(self.html):,} characters; save(path) writes it>{mistakes}"


def show(
    source: str | os.PathLike[str] | Mapping[str, object] | Spec,
    *,
    args: Mapping[str, object] | None = None,
    act: Act = "module",
    overrides: Overrides | None = None,
    plugins: Sequence[str] | None = None,
) -> Picture:
    """The picture of a spec, right or wrong: a path, a name, a mapping, or a Spec.

    Raises nothing for what is wrong with the spec: that is drawn, and in `diagnostics`.
    """
    found = analyse(source, args=args, act=act, overrides=overrides, plugins=plugins)
    return Picture(page_html(found), found.diagnostics)
