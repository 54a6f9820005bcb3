"""Annotated videos that are encoded several times faster than a user's, and are larger."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def encoded_quickly() -> Iterator[None]:
    """Encode with the fastest preset of x264."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("fervid.annotate.annotate"), "PRESET", "ultrafast")
        yield
