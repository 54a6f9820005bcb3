"""The gate of RetinaFace's branch for small faces: its outputs are exact, and no small face is missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fervid.faces import retinaface_gate as gate
from fervid.faces.boxes import shrink
from fervid.faces.detectors import create_detector
from fervid.faces.retinaface import RetinaFace
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT

CLIPS = (
    "crowd_1080p.mp4",
    "no_face.mp4",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("hamilton_cuts.mp4", "talking_d3.mp4")),
)


@pytest.fixture(scope="module")
def detector() -> RetinaFace:
    return RetinaFace()


@pytest.fixture(scope="module")
def couple() -> ByteArray:
    """A frame with two people side by side."""
    with VideoReader(ROOT / "sample_videos" / "crossing.mp4", fps=5, start=1.0) as reader:
        return next(frame.image for frame in reader.frames() if frame.sampled)


def with_cells(monkeypatch: pytest.MonkeyPatch, cells: list[tuple[int, int]], shape: tuple[int, int]) -> FloatArray:
    """A map in which the gate fires only at these cells."""
    monkeypatch.setattr(gate, "_gate", lambda: (np.eye(64, dtype=np.float32)[3], -1.0))
    merged = np.zeros((64, *shape), np.float32)
    for row, column in cells:
        merged[3, row, column] = 2 + gate.LIMIT
    return merged


def same(found: list[Face], expected: list[Face]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.box == pytest.approx(other.box, abs=1e-2)
        assert np.array(one.landmarks) == pytest.approx(np.array(other.landmarks), abs=1e-2)


def test_nothing_is_computed_if_the_gate_does_not_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate.windows(with_cells(monkeypatch, [], (45, 80))) == []


def test_a_cell_that_fires_has_reach_and_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate.windows(with_cells(monkeypatch, [(20, 40)], (45, 80))) == [((14, 27), (34, 47), (18, 23), (38, 43))]


def test_a_window_ends_at_the_border_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = gate.windows(with_cells(monkeypatch, [(0, 79), (44, 1)], (45, 80)))
    assert sorted(parts) == [((0, 7), (73, 80), (0, 3), (77, 80)), ((38, 45), (0, 8), (42, 45), (0, 4))]


def test_the_whole_map_is_one_window_if_the_gate_fires_almost_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [(row, column) for row in range(0, 45, 8) for column in range(0, 80, 8)]
    assert gate.windows(with_cells(monkeypatch, cells, (45, 80))) == [((0, 45), (0, 80), (0, 45), (0, 80))]


FACE = Face(100, 80, 120, 160, 0.995, ())
"""Rows 13 to 26 and columns 15 to 24 of the map lie well inside it."""


@pytest.mark.parametrize("cell", [(13, 15), (26, 15), (13, 24), (26, 24), (20, 19)])
def test_nothing_is_searched_inside_a_sure_large_face(monkeypatch: pytest.MonkeyPatch, cell: tuple[int, int]) -> None:
    assert gate.windows(with_cells(monkeypatch, [cell], (45, 80)), [FACE]) == []


@pytest.mark.parametrize("cell", [(12, 19), (27, 19), (20, 14), (20, 25), (5, 70)])
def test_small_faces_at_the_edge_of_a_large_one_are_searched(
    monkeypatch: pytest.MonkeyPatch, cell: tuple[int, int]
) -> None:
    merged = with_cells(monkeypatch, [cell], (45, 80))
    assert gate.windows(merged, [FACE]) == gate.windows(merged) != []


@pytest.mark.parametrize("face", [replace(FACE, score=0.98), replace(FACE, width=95), replace(FACE, x=400)])
def test_faces_that_are_unsure_or_not_large_hide_nothing(monkeypatch: pytest.MonkeyPatch, face: Face) -> None:
    merged = with_cells(monkeypatch, [(20, 18)], (45, 80))
    assert gate.windows(merged, [face]) == gate.windows(merged) != []


@pytest.mark.parametrize("face", [Face(-60, -60, 300, 300, 0.995, ()), Face(-900, 20, 200, 200, 0.995, ())])
def test_large_faces_may_reach_beyond_the_image(monkeypatch: pytest.MonkeyPatch, face: Face) -> None:
    merged = with_cells(monkeypatch, [(0, 0), (40, 70)], (45, 80))
    covered = face.x > -300
    assert len(gate.windows(merged, [face])) == (1 if covered else 2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (33, 31), (360, 640)])
def test_images_of_any_shape_are_accepted(detector: RetinaFace, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert detector.detect_unscaled(noise, 0.65, small_faces="gated") == []


def test_a_gate_that_fires_everywhere_changes_nothing(
    detector: RetinaFace, couple: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LIMIT", -np.inf)
    small = np.asarray(cv2.resize(couple, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA), np.uint8)
    for image in (small, shrink(couple, 640)[0]):
        same(detector.detect_unscaled(image, 0.05, small_faces="gated"), detector.detect_unscaled(image, 0.05))


def test_a_gate_that_never_fires_keeps_large_faces(
    detector: RetinaFace, couple: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LIMIT", np.inf)
    small = np.asarray(cv2.resize(couple, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA), np.uint8)
    same(
        detector.detect_unscaled(small, 0.3, small_faces="gated"),
        detector.detect_unscaled(small, 0.3, small_faces="none"),
    )


def test_small_faces_are_kept(detector: RetinaFace, couple: ByteArray) -> None:
    for scale in (0.2, 0.25, 0.3, 0.35):
        small = np.asarray(cv2.resize(couple, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        wide = np.full((360, 640, 3), 90, np.uint8)
        wide[200 : 200 + small.shape[0], 400 : 400 + small.shape[1]] = small[:160, :240]
        expected = detector.detect_unscaled(wide, 0.65)
        assert len(expected) == 2
        same(detector.detect_unscaled(wide, 0.65, small_faces="gated"), expected)


def test_without_the_gate_the_branch_is_computed_everywhere(
    detector: RetinaFace, couple: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LIMIT", np.inf)  # would miss every small face
    small = np.asarray(cv2.resize(couple, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), np.uint8)
    whole, expected = create_detector(ScanSettings(gate=False)), detector.detect_unscaled(small, 0.65)
    assert len(expected) == 2
    same(whole.detect(small), expected)
    assert len(create_detector(ScanSettings()).detect(small)) < 2


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_show_the_same_faces(detector: RetinaFace, name: str, shared_media: Path) -> None:
    with VideoReader(shared_media / name, fps=1.0) as reader:
        images = [shrink(frame.image, 640)[0] for frame in reader.frames() if frame.sampled]
    assert images
    for image in images:
        same(detector.detect_unscaled(image, 0.65, small_faces="gated"), detector.detect_unscaled(image, 0.65))
