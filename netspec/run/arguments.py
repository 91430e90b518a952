"""What several of a run's commands take on the command line, for argparse."""

from __future__ import annotations

import argparse


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """`--plugin NAME`, as often as wanted."""
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="NAME",
        help="a plugin whose layers the checkpoint needs",
    )  # fmt: skip


def whole(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not least <= value < 1 << 63:
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number from {least}")
    return value


def positive(text: str) -> float:
    """A number from 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"`{text}` is not a number from 0")
    return value
