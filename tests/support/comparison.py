"""Comparisons of two results."""

from __future__ import annotations

import pandas as pd

from fervid.results.reader import Results
from fervid.results.schema import SMALL

VOLATILE = ["seconds", "finished_at"]
"""Columns that differ from run to run."""


def assert_same(one: Results, other: Results) -> None:
    """Equal to 1e-4 in every number, exactly in everything else."""
    _compare(one, other, check_exact=False, atol=1e-4, rtol=0)


def assert_identical(one: Results, other: Results) -> None:
    """Equal in every bit."""
    _compare(one, other, check_exact=True)


def _compare(one: Results, other: Results, **options: float) -> None:
    for name in ("timeline", *SMALL):
        first, second = (getattr(side, name).drop(columns=VOLATILE, errors="ignore") for side in (one, other))
        pd.testing.assert_frame_equal(first, second, **options)
