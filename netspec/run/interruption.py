"""A run that was asked to stop."""

from __future__ import annotations


class Interrupted(Exception):
    """The user asked the run to stop; its last checkpoint is written."""
