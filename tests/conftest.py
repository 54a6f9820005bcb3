"""Fixtures for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.clips import ClipFactory, write_clip
from tests.support.encoding import encoded_quickly
from tests.support.paths import ROOT
from tests.support.replay import replayed_module, replayed_scans
from tests.support.scheduling import Scheduling, order

# child processes import the package and the tests of this folder, wherever they start
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

# by default the same examples in every run; nightly other ones in each: pytest --hypothesis-profile nightly
hypothesis.settings.register_profile("fervid", deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile("fervid")


__all__ = ["replayed_module", "replayed_scans"]


def _given(name: str) -> Path:
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"needs the folder ../shared/{name} beside the repository")
    return folder


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Real clips that lie beside the repository, not in it."""
    return _given("media")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """FER2013 tables that lie beside the repository, not in it."""
    return _given("data")


@pytest.fixture
def clip(tmp_path: Path) -> ClipFactory:
    """Writes a clip whose frames, shown from the given times on, carry the numbers 0, 1, 2, ..."""

    def write(times: Iterable[float], name: str = "clip.mp4", **options: Any) -> Path:
        return write_clip(tmp_path / name, times, **options)

    return write


@pytest.fixture
def quick_encoding() -> Iterator[None]:
    """Annotated videos are encoded several times faster, for tests that do not look into them."""
    with encoded_quickly():
        yield


@pytest.fixture
def expected_errors() -> list[str]:
    """A test that logs errors on purpose puts a part of each message here."""
    return []


@pytest.fixture(autouse=True)
def _no_unexpected_error(caplog: pytest.LogCaptureFixture, expected_errors: list[str]) -> Iterator[None]:
    """Fail a test that logs an ERROR which nobody expected."""
    yield
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    errors = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
    unexpected = [message for message in errors if not any(part in message for part in expected_errors)]
    assert not unexpected, f"logged without being expected: {unexpected}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests as tests/support/scheduling.py says, unless the command line asks for another way."""
    return Scheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin."""
    items.sort(key=lambda item: order(item.nodeid))
