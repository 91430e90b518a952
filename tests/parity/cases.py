"""Every spec of the zoo beside its original."""

from __future__ import annotations

from tests.parity import other_cases, torchvision_cases, transformers_cases
from tests.parity.case import Case

CASES: tuple[Case, ...] = (
    *torchvision_cases.CASES, *transformers_cases.CASES, *other_cases.CASES,
)  # fmt: skip
