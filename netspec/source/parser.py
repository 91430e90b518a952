"""The YAML parser as a stream of events: PyYAML's C one, or its Python one where that is missing.

Both are PyYAML's; only the lower half is used, so that nothing is ever constructed from a tag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from yaml.events import ScalarEvent
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML without libyaml
    CParser = None  # type: ignore[assignment, misc]

# Gives the next event. The stubs call every mark optional, and the parser never leaves one out.
NextEvent: TypeAlias = Callable[[], Any]


def events(text: str) -> NextEvent:
    """A text → its events, one a call.

    A call raises YAMLError, or ValueError (OverflowError) for an escape that is no character.
    """
    if CParser is None:
        return _PythonParser(text).next_event
    return CParser(text).get_event


class _PythonParser(Reader, Scanner, Parser):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def next_event(self) -> Any:
        event = self.get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, ScalarEvent):
            event.value.encode()  # it lets surrogates through, which libyaml refuses
        return event
