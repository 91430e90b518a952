"""The pages of the codes: docs/errors in a checkout, netspec/docs/errors in an installed wheel."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from netspec.errors import nearest

_PACKAGE = Path(__file__).resolve().parent.parent
_CODE = re.compile(r"(?:NS)?(\d{3})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """What is written of a code: Markdown, its title, and the file that it is in."""

    code: str
    title: str
    text: str
    path: Path

    @property
    def summary(self) -> str:
        """The first paragraph, in one line."""
        _, _, rest = self.text.partition("\n\n")
        return " ".join(rest.partition("\n\n")[0].split())


def read_pages() -> dict[str, Page]:
    """All pages by code, in the order of codes."""
    return {page.code: page for page in map(_read, sorted(_folder().glob("NS???.md")))}


def _folder() -> Path:
    installed = _PACKAGE / "docs" / "errors"
    return installed if installed.is_dir() else _PACKAGE.parent / "docs" / "errors"


def _read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    title = text.partition("\n")[0].partition(": ")[2]
    return Page(path.stem, title, text, path)


def find_code(given: str, codes: Container[str]) -> str | None:
    """`ns301`, `301` → `NS301`; None where there is no such code."""
    code = _as_code(given)
    return code if code in codes else None


def near_codes(given: str, codes: Iterable[str]) -> list[str]:
    """The codes that may have been meant: of a number, its neighbours in the same hundred."""
    code = _as_code(given)
    same = [other for other in codes if code[2:].isdigit() and other[:3] == code[:3]]
    if same and len(code) == len(same[0]):
        return sorted(same, key=lambda other: abs(int(other[2:]) - int(code[2:])))[:2]
    return nearest(code, tuple(codes))


def _as_code(given: str) -> str:
    match = _CODE.fullmatch(given.strip())
    return f"NS{match[1]}" if match else given.strip().upper()
