"""Text on a terminal: what reaches it, how wide it is, how lines are cut and messages laid out."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netspec
from netspec.display import PLAIN, Look, columns, cut, excerpt, padded, visible, wrapped
from netspec.errors import Diagnostic, Span, SpecError, render

HOSTILE = "\x1b[2J \x07 \x9b31m \u202egnp \u2066 \u200b \ufeff \u2028 \r \x7f \ud800 \U000e0041"
SGR = re.compile(r"\x1b\[[0-9;]+m")
# Tabs, wide and combining characters, and some that are not shown, among plain ones.
LINES = st.text(st.sampled_from("ab \t日\uff46\u0301e\x1b\u200b😀"), max_size=60)


def obeyed(text: str) -> list[str]:
    """The characters in a text that a terminal would obey or hide."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl"}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain — 日本 é", "plain — 日本 é"),
        ("\x1b[2J", "<U+001B>[2J"),
        ("a\u202eb", "a<U+202E>b"),
        ("a\tb", "a<U+0009>b"),
        ("\U000e0041", "<U+E0041>"),
        ("\ud800", "<U+D800>"),
    ],
)
def test_what_a_terminal_would_obey_has_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("e\u0301", 1),
        ("\uff46", 2),
        ("한", 2),
        ("\u1112\u1161\u11ab", 2),
        ("😀", 2),
    ],
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width


def test_cut_and_padded_count_columns() -> None:
    assert cut("日本語", 6) == "日本語"
    assert cut("日本語", 5) == "日本…"
    assert padded("日本", 6) == "日本  "
    assert padded("日本", 6, right=True) == "  日本"


def test_wrapped_breaks_at_blanks_and_its_own_breaks() -> None:
    text = "one two three four five six seven\nnext"
    assert wrapped(text, 20) == ["one two three four", "five six seven", "next"]
    assert wrapped(text, None) == text.split("\n")
    assert wrapped("x" * 50, 20) == ["x" * 50]


@pytest.mark.parametrize(
    ("line", "start", "width", "marks"),
    [
        ("fc: Linear", 4, 6, "    ^^^^^^"),
        ("\tfc", 1, 2, "    ^^"),
        ("a\tfc", 2, 2, "    ^^"),
        ("日本: x", 4, 1, "      ^"),
        ("日本: x", 0, 2, "^^^^"),
        ("e\u0301: x", 4, 1, "   ^"),
        ("\x1b: x", 3, 1, "          ^"),
        ("e\u0301: x", 1, 1, "^"),
        ("short", 3, 99, "   ^^"),
        ("short", 99, 5, "     ^"),
        ("", 0, 1, "^"),
    ],
)
def test_carets_stand_below_what_they_mark(line: str, start: int, width: int, marks: str) -> None:
    assert excerpt(line, start, width, None)[1] == marks


@given(LINES, st.integers(0, 70), st.integers(1, 70), st.integers(20, 60))
def test_a_cut_line_fits_and_shows_what_is_marked(
    line: str, start: int, width: int, room: int
) -> None:
    whole, marks = excerpt(line, start, width, None)
    shown, below = excerpt(line, start, width, room)
    assert columns(shown) <= room
    assert len(below) <= room
    assert below.strip("^ ") == "" and 1 <= below.count("^") <= marks.count("^")
    assert not obeyed(shown)
    before, after = marks.index("^"), below.index("^")
    if before < columns(whole):
        assert by_column(shown).get(after) == by_column(whole).get(before)


def by_column(text: str) -> dict[int, str]:
    """The character that begins at each column."""
    found: dict[int, str] = {}
    column = 0
    for character in text:
        found.setdefault(column, character)
        column += columns(character)
    return found


def test_a_long_line_is_cut_around_the_place() -> None:
    line = "conv: {" + "a: 1, " * 40 + "kernal_size: 5, " + "b: 2, " * 40 + "}"
    shown, marks = excerpt(line, line.index("kernal"), 11, 40)
    assert shown[0] == shown[-1] == "…" and len(shown) <= 40
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "kernal_size"


@pytest.mark.parametrize("room", [None, 60])
def test_a_very_long_line_is_never_whole(room: int | None) -> None:
    line = "é" * 500_000 + "HERE" + "日" * 500_000
    began = time.process_time()
    for start in range(500_000, 500_004):
        shown, marks = excerpt(line, start, 1, room)
        assert shown[marks.index("^")] == line[start]
        assert shown[0] == shown[-1] == "…" and len(shown) <= (room or 2000)
    assert time.process_time() - began < 2  # 0.05 where it was written


# Whole messages

SPAN = Span("net.yaml", 12, 3, 2, "\ta日本: x")
MISTAKE = Diagnostic("NS203", "a fact of seven words and some", SPAN, ("a note",), "some help")


def test_plain_is_str() -> None:
    assert str(MISTAKE) == render(MISTAKE) == render(MISTAKE, PLAIN)
    assert str(MISTAKE).splitlines() == [
        "error[NS203]: a fact of seven words and some",
        "  --> net.yaml:12:3",
        "12 |     a日本: x",
        "   |      ^^^^",
        "   = note: a note",
        "   = help: some help",
    ]


def test_colours_change_no_text() -> None:
    painted = render(MISTAKE, Look(None, colour=True))
    assert SGR.sub("", painted) == str(MISTAKE)
    assert painted.startswith("\x1b[1;31merror[NS203]\x1b[0m: ")
    assert "\x1b[1;31m^^^^\x1b[0m" in painted


def test_texts_wrap_below_their_beginning() -> None:
    long = Diagnostic("NS301", "word " * 12 + "end", Span("f", 1, 1, 1, "x"), ("note " * 12,))
    lines = render(long, Look(40)).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[1].startswith(" " * len("error[NS301]: ") + "word")
    assert lines[-1].startswith(" " * len("  = note: ") + "note")


@pytest.mark.parametrize("look", [PLAIN, Look(60), Look(60, colour=True)], ids=str)
def test_a_hostile_text_drives_no_terminal(look: Look) -> None:
    span = Span(f"{HOSTILE}.yaml", 1, 2, 3, HOSTILE)
    text = render(Diagnostic("NS206", HOSTILE, span, (HOSTILE,), HOSTILE), look)
    assert obeyed(SGR.sub("", text)) == []
    assert "<U+202E>" in text and "<U+001B>[2J" in text
    elsewhere = render(Diagnostic("NS206", "x", Span(HOSTILE)), look)
    assert obeyed(SGR.sub("", elsewhere)) == []


def test_a_line_break_in_a_text_begins_no_message() -> None:
    text = render(Diagnostic("NS206", "a\nerror[NS999]: b", Span("f"), ("c\nerror[NS999]: d",)))
    assert [line for line in text.splitlines() if line.startswith("error")] == ["error[NS206]: a"]


def test_a_hostile_spec_is_told_safely() -> None:
    text = 'netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers:\n  a: {call: "re\\e[2J\\u202e"}\n'
    with pytest.raises(SpecError) as caught:
        netspec.build(netspec.loads(text))
    assert "re<U+001B>[2J<U+202E>" in str(caught.value)
    assert obeyed(str(caught.value)) == []
