"""A layer that cannot be lowered: what is raised, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netspec.errors import Diagnostic, Span


class TooMany(Exception):
    """So many mistakes were found that nobody would read more of them."""


Explain = Callable[["Rejection"], "Refused"]
Text = tuple[str, str | None]  # a text, and the arg that has it
Meaning = Callable[[str | None], str | None]  # of a text: what to write, for the arg that has it


class Rejection:
    """What is refused, as frozen data; whoever shows it finds the words."""

    __slots__ = ()


class Refused(Exception):
    """A layer cannot be lowered: for what the diagnostics say, or for a rejection without words.

    Without either, what it needs was already refused.

    `texts` has for a diagnostic that is about a text of the spec that text, with which a name or an
    expression may have been meant, and the arg that brought it.
    """

    def __init__(
        self,
        *diagnostics: Diagnostic,
        texts: Mapping[Diagnostic, Text] | None = None,
        rejection: Rejection | None = None,
    ) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics
        self.rejection = rejection
        self.texts = texts or {}

    @property
    def diagnostic(self) -> Diagnostic | None:
        """The first one."""
        return self.diagnostics[0] if self.diagnostics else None


def refuse(
    code: str,
    fact: str,
    span: Span,
    help: str | None = None,
    notes: tuple[str, ...] = (),
    about: object = None,
) -> Refused:
    """A Refused with a diagnostic, `about` a value that does not fit; for `raise`."""
    diagnostic = Diagnostic(code, fact, span, notes, help)
    return Refused(
        diagnostic, texts={diagnostic: (about, None)} if isinstance(about, str) else None
    )
