"""What was found wrong while a spec was lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType

from netspec.errors import MAX_DIAGNOSTICS, Diagnostic
from netspec.ir.lower.refusal import Explain, Meaning, Refused, Text, TooMany

_ENOUGH = 3 * MAX_DIAGNOSTICS  # one of a block is found again in each copy

# Mistakes that are ones whatever the values are.
OF_NAMES = frozenset({"NS203", "NS204", "NS206", "NS207", "NS209", "NS210", "NS218"})


@dataclass(slots=True, eq=False)
class Problems:
    """The diagnostics, in the order in which they were found; `explain` words rejections.

    As a context it notes what is refused inside, and goes on behind: `with problems: …`.
    """

    explain: Explain
    found: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, Meaning] = field(default_factory=dict)  # that stand in the place of values
    _doubts: int = 0

    def add(self, refused: Refused) -> None:
        """Notes what is refused. Raises TooMany where nobody would read more."""
        refused = self.worded(refused)
        for diagnostic in refused.diagnostics:
            if not self._doubts or diagnostic.code in OF_NAMES:
                self.found.append(self._with_meaning(diagnostic, refused.texts))
        if len(self.found) >= _ENOUGH:
            raise TooMany

    def worded(self, refused: Refused) -> Refused:
        """A refusal whose diagnostics are there."""
        return refused if refused.rejection is None else self.explain(refused.rejection)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Refused):
            return False
        self.add(error)
        return True

    @contextmanager
    def in_doubt(self) -> Iterator[None]:
        """What is lowered meanwhile may not exist; only its names are checked."""
        self._doubts += 1
        try:
            yield
        except Refused as refused:
            self.add(refused)
            raise Refused from None
        finally:
            self._doubts -= 1

    @contextmanager
    def caused(self, by: Callable[[Diagnostic], Diagnostic]) -> Iterator[None]:
        """What is refused meanwhile has a cause that its place does not show; `by` adds it."""
        told = len(self.found)
        try:
            yield
        except Refused as refused:
            raise Refused(*map(by, self.worded(refused).diagnostics)) from None
        finally:
            self.found[told:] = map(by, self.found[told:])

    def _with_meaning(self, diagnostic: Diagnostic, texts: Mapping[Diagnostic, Text]) -> Diagnostic:
        """A diagnostic about a text, with the help of what that text would mean behind a `=`."""
        if diagnostic not in texts:
            return diagnostic
        text, arg = texts[diagnostic]
        meaning = self.texts.get(text)
        help = meaning(arg) if meaning is not None else None
        return diagnostic if help is None else replace(diagnostic, help=help)
