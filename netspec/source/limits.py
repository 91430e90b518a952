"""How much a spec's text may hold; whatever passes one of these is refused as NS103."""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 200_000  # with every alias written out; a long text counts as several
MAX_LENGTH: Final = 100_000  # of one text
MAX_DIGITS: Final = 300
MAX_TAG_DIRECTIVES: Final = 100  # the parser's time is quadratic in them
MAX_OFFERED: Final = 1_000  # names among which a near one is looked for

LONG: Final = 64  # a text this long counts as one value more for every so many characters
