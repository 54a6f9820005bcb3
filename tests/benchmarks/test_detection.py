"""The benchmark of detection methods counts correctly."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fervid.faces.boxes import iou
from fervid.types import Face
from tests.benchmarks import detection
from tests.benchmarks.detection import Count, Sample, clip_samples, measure, methods, pooled
from tests.support.paths import SAMPLES

IMAGE = np.zeros((90, 160, 3), np.uint8)
FIRST, SECOND = (10.0, 10.0, 20.0, 20.0), (60.0, 10.0, 20.0, 20.0)


def face(x: float) -> Face:
    return Face(x, 10.0, 20.0, 20.0, 0.9)


def test_overlap_is_intersection_over_union() -> None:
    assert iou([FIRST], [FIRST, SECOND, (20.0, 10.0, 20.0, 20.0)])[0] == pytest.approx([1, 0, 1 / 3])


def test_missed_and_false_boxes_are_counted() -> None:
    count = Count()
    count.add(Sample(0.0, IMAGE, [FIRST, SECOND], [FIRST, SECOND]), [face(11.0), face(120.0)], 0.5)
    assert (count.samples, count.seconds, count.required, count.found, count.boxes, count.false) == (1, 0.5, 2, 1, 2, 1)
    count.add(Sample(0.2, IMAGE, [], [SECOND]), [face(60.0)], 0.25)
    assert (count.required, count.found, count.boxes, count.false) == (2, 1, 3, 1), (
        "a face that is not required is not false"
    )
    count.add(Sample(0.4, IMAGE), [face(60.0)], 0.25)
    assert (count.boxes, count.false, count.seconds) == (4, 1, 1.0), "without ground truth no box is false"


def test_sets_are_pooled() -> None:
    one, other = Count(10, 0.5, 8, 7, 9, 1), Count(20, 2.0, 3, 3, 4, 0)
    found = pooled([{"whole": [one]}, {"whole": [other]}])["whole"]
    assert found == [Count(30, 2.5, 11, 10, 13, 1), one, other]


@pytest.mark.slow
def test_all_methods_find_the_faces_of_a_clip() -> None:
    counts = measure((samples[:11] for samples in clip_samples(SAMPLES / "crossing.mp4")), 2)
    assert list(counts) == list(methods())
    for rounds in counts.values():
        assert len(rounds) == 2
        assert rounds[0].samples == rounds[1].samples > 10
        assert rounds[0].boxes == rounds[1].boxes >= rounds[0].samples
        assert min(count.seconds for count in rounds) > 0
    assert len({rounds[0].boxes for rounds in counts.values()}) == 1


@pytest.mark.slow
def test_the_table_has_a_row_for_each_method(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["detection", str(SAMPLES / "cut.mp4"), "--rounds", "1"])
    detection.main()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in capsys.readouterr().out.splitlines()]
    assert {len(row) for row in rows} == {8}
    assert [row[:2] for row in rows[2:]] == [["cut.mp4", name] for name in methods()]
