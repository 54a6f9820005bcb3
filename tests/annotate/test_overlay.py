"""Drawing on I420 planes, and the overlay: readable on any background, inside the frame, no label over a face."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from fervid.annotate.overlay import FACE_COLORS, Overlay, Style, face_color, type_size
from fervid.annotate.text import WARNING
from fervid.annotate.timeline_strip import lanes
from fervid.annotate.yuv_canvas import Canvas, matrix_code, sprite
from fervid.colors import EMOTION_COLORS, rgb
from fervid.runtime.opencv import cv2
from fervid.timeline.interpolation import FaceTimeline, Owner
from fervid.timeline.time_format import clock
from fervid.types import EMOTIONS, ByteArray

SIZES = [(64, 48), (320, 240), (426, 240), (240, 426), (640, 360), (1280, 720), (1080, 1920), (3840, 2160)]


def blank(width: int, height: int, gray: int = 128) -> ByteArray:
    """An I420 frame of one gray level, from 16 (black) to 235 (white)."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = gray
    return planes


def bgr(planes: ByteArray) -> ByteArray:
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)


def face(
    face_id: int, *box: float, trust: str = "ok", times: tuple[float, float] = (0.0, 10.0), emotion: int = 3
) -> FaceTimeline:
    """A face that does not move."""
    smoothed = np.full((2, len(EMOTIONS)), 0.04, np.float32)
    smoothed[:, emotion] = 0.76
    return FaceTimeline(
        face_id, np.array(times), np.array([box, box], np.float32), smoothed, trust, np.array([False]), times[1]
    )


def drawn(
    faces: list[FaceTimeline], width: int, height: int, gray: int = 128, style: Style = "full", time: float = 5.0
) -> ByteArray:
    """The planes of a gray frame after the overlay was drawn."""
    planes = blank(width, height, gray)
    Overlay(faces, width, height, 10.0, 6, style).draw(Canvas(planes, 6), time)
    return planes


def touched(planes: ByteArray, gray: int = 128) -> npt.NDArray[np.bool_]:
    """(h, w) whether the luma differs from that of the blank frame."""
    return np.asarray(np.abs(planes[: len(planes) * 2 // 3].astype(int) - gray) > 3)


# canvas


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (230, 159, 0)])
def test_a_filled_rectangle_has_the_right_colour_and_position(color: tuple[int, int, int]) -> None:
    planes = blank(64, 48)
    Canvas(planes, 6).fill(10, 20, 30, 8, color)
    image = bgr(planes)
    assert np.abs(image[20:28, 10:40].astype(int) - color[::-1]).max() <= 4
    changed = touched(planes)
    assert not changed[:20].any()
    assert not changed[28:].any()
    assert not changed[:, :10].any()
    assert not changed[:, 40:].any()


@pytest.mark.parametrize(("x", "y"), [(-200, 0), (0, -200), (-5, -5), (60, 44), (200, 0), (0, 200)])
def test_drawings_outside_the_frame_are_left_out(x: int, y: int) -> None:
    planes = blank(64, 48)
    canvas = Canvas(planes, 1)
    canvas.fill(x, y, 9, 7, (255, 255, 255))
    canvas.draw_sprite(sprite(np.full((7, 9, 4), 255, np.uint8), 1), x, y)
    canvas.hide(x, y, 20, 20)
    canvas.lines([[(x, y), (x + 10, y), (x + 10, y + 9)]], (9, 9, 9), 2, closed=True)
    assert planes.shape == (72, 64)


def test_a_sprite_is_drawn_with_its_transparency() -> None:
    image = np.zeros((20, 30, 4), np.uint8)
    image[..., :3], image[:10, :, 3], image[10:, :, 3] = (255, 255, 255), 255, 128
    planes = blank(64, 48, gray=16)
    Canvas(planes, 6).draw_sprite(sprite(image, 6), 8, 4)
    result = bgr(planes)
    assert result[4:14, 8:38].min() > 250
    assert np.abs(result[14:24, 8:38].astype(int) - 128).max() < 8
    assert result[26:].max() < 8


def test_lines_are_anti_aliased_and_in_the_right_place() -> None:
    planes = blank(64, 48, gray=16)
    Canvas(planes, 6).lines([[(10.0, 10.0), (50.0, 30.5)]], (255, 255, 255), 2, closed=False)
    values = planes[:48][touched(planes, 16)]
    assert len(np.unique(values)) > 10
    assert values.max() > 220
    rows, columns = np.nonzero(touched(planes, 16))
    assert (rows.min(), rows.max()) == (pytest.approx(9, abs=2), pytest.approx(31, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(9, abs=2), pytest.approx(51, abs=2))


@pytest.mark.parametrize("scale", [1, 4])
def test_hiding_removes_all_detail_and_changes_nothing_outside(scale: int) -> None:
    noise = np.random.default_rng(1).integers(16, 236, (240 * scale * 3 // 2, 320 * scale)).astype(np.uint8)
    planes = noise.copy()
    x, y, width, height = (side * scale for side in (100, 80, 60, 80))
    Canvas(planes, 6).hide(x, y, width, height)
    inside = planes[y : y + height, x : x + width]
    assert inside.std() < 0.25 * noise[y : y + height, x : x + width].std()
    assert np.abs(np.diff(inside.astype(int), axis=1)).max() <= 16
    middle = (x + width / 2, y + height / 2)
    rows, columns = np.mgrid[: 240 * scale, : 320 * scale]
    away = ((columns - middle[0]) / width) ** 2 + ((rows - middle[1]) / height) ** 2 > 0.8**2
    assert (planes[: 240 * scale] == noise[: 240 * scale])[away].all()


def test_unspecified_colours_are_drawn_as_players_assume_them() -> None:
    assert [matrix_code(2, 480), matrix_code(2, 1080), matrix_code(9, 480)] == [6, 1, 9]


# the overlay


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("where", ["middle", "corner", "all", "outside"])
def test_every_size_and_position_can_be_drawn(width: int, height: int, where: str) -> None:
    boxes = {
        "middle": (0.4, 0.3, 0.2, 0.4),
        "corner": (-0.1, -0.1, 0.3, 0.3),
        "all": (-0.2, -0.2, 1.4, 1.4),
        "outside": (1.2, 1.2, 0.2, 0.2),
    }
    x, y, across, down = boxes[where]
    planes = drawn([face(0, x * width, y * height, across * width, down * height)], width, height)
    changed = touched(planes)
    assert changed.any() == (where != "outside" or width > 64)
    assert changed.mean() < (0.5 if width >= 320 else 1.0)


@pytest.mark.parametrize(("width", "height"), SIZES[1:])
def test_the_font_grows_with_the_frame(width: int, height: int) -> None:
    size = type_size(width, height)
    assert size >= 11
    assert size == pytest.approx(max(11, 0.019 * (width * height) ** 0.5), abs=1)


@pytest.mark.parametrize("gray", [16, 70, 128, 180, 235])
def test_a_label_is_readable_over_any_background(gray: int) -> None:
    planes = drawn([face(0, 250, 150, 120, 140)], 640, 360, gray, "minimal")
    label = bgr(planes)[126:147, 270:340].astype(float) / 255
    light = np.where(label <= 0.04045, label / 12.92, ((label + 0.055) / 1.055) ** 2.4) @ [0.0722, 0.7152, 0.2126]
    text, ground = np.percentile(light, 99), np.percentile(light, 20)
    assert (text + 0.05) / (ground + 0.05) > 4.5  # WCAG 2.2, 1.4.3


def test_face_colours_differ_and_repeat_after_the_last() -> None:
    assert len(set(FACE_COLORS)) == len(FACE_COLORS) >= 8
    assert face_color(0) == face_color(len(FACE_COLORS))
    assert all(0.2126 * r + 0.7152 * g + 0.0722 * b > 120 for r, g, b in FACE_COLORS)


def test_each_box_has_the_colour_of_its_face() -> None:
    faces = [face(0, 60, 100, 90, 110), face(1, 420, 100, 90, 110)]
    image = bgr(drawn(faces, 640, 360, style="minimal")).astype(int)
    for timeline, x in zip(faces, (60, 420), strict=True):
        side = image[130:180, x - 1 : x + 2].reshape(-1, 3)
        assert np.abs(side - face_color(timeline.face_id)[::-1]).sum(axis=1).min() < 40


def test_the_box_of_a_face_with_low_trust_is_dashed() -> None:
    def covered(trust: str) -> float:
        changed = touched(drawn([face(0, 200, 100, 200, 160, trust=trust)], 640, 360, style="minimal"))
        return float(changed[150:250, 198:203].any(axis=1).mean())

    assert covered("ok") == 1.0
    assert 0.3 < covered("seen for only 0.4 s") < 0.8


def test_a_number_is_never_drawn_without_its_warning() -> None:
    """Six faces side by side, each narrower than its label."""

    def warned(trust: str) -> list[int]:
        faces = [face(number, 20 + 100 * number, 100, 60, 70, trust=trust) for number in range(6)]
        near = np.abs(bgr(drawn(faces, 640, 360, style="minimal")).astype(int) - WARNING[::-1]).max(axis=2) < 60
        near[95:175] = False  # the boxes
        # two of the faces' own colours are near that of the warning
        return [int(near[:, 100 * number : 100 * (number + 1)].sum()) for number in (0, 2, 3, 5)]

    assert min(warned("seen for only 0.4 s")) >= 5
    assert max(warned("ok")) == 0


def test_minimal_draws_less_than_full() -> None:
    one = face(0, 200, 100, 120, 140)
    minimal, full = (touched(drawn([one], 640, 360, style=style)) for style in ("minimal", "full"))
    assert full.sum() > 2 * minimal.sum()
    assert not minimal[300:].any()
    assert full[320:].any()


@pytest.mark.parametrize("emotion", range(len(EMOTIONS)))
def test_the_bar_of_the_leading_emotion_is_the_longest(emotion: int) -> None:
    image = bgr(drawn([face(0, 200, 100, 140, 160, emotion=emotion)], 960, 540, gray=200)).astype(int)[:480]
    areas = [int((np.abs(image - rgb(color)[::-1]).max(axis=2) <= 12).sum()) for color in EMOTION_COLORS.values()]
    assert int(np.argmax(areas)) == emotion


def test_no_label_covers_another_or_a_face() -> None:
    """Nine faces in a grid."""
    boxes = [(80.0 + 130 * (index % 3), 70.0 + 110 * (index // 3), 60.0, 70.0) for index in range(9)]
    crowd = [face(index, *box) for index, box in enumerate(boxes)]
    everything = touched(drawn(crowd, 640, 480, style="minimal"))
    for x, y, width, height in boxes:
        inner = everything[int(y) + 8 : int(y + height) - 8, int(x) + 8 : int(x + width) - 8]
        assert inner.mean() < 0.15
    assert everything.mean() < 0.25


def test_nothing_is_drawn_without_a_face() -> None:
    assert not touched(drawn([], 640, 360)).any()
    late = face(0, 200, 100, 120, 140, times=(6.0, 9.0))
    assert not touched(drawn([late], 640, 360, style="minimal")).any()


def test_a_label_does_not_jump_back_and_forth() -> None:
    """The face moves up and down around the height at which its label just fits above it."""
    times = np.arange(0, 4, 0.04)
    boxes = np.array([(250, 24 + 3 * (index % 2), 120, 140) for index in range(len(times))], np.float32)
    smoothed = np.full((len(times), len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
    moving = FaceTimeline(0, times, boxes, smoothed, "ok", np.zeros(len(times) - 1, bool), 4.0)
    overlay = Overlay([moving], 640, 360, 4.0, 6, "minimal")
    above = []
    for time in times:
        planes = blank(640, 360)
        overlay.draw(Canvas(planes, 6), float(time))
        above.append(bool(touched(planes)[4:20, 260:300].all(axis=1).any()))
    assert sum(one != other for one, other in itertools.pairwise(above)) <= 2


# the strip


def test_faces_that_are_never_seen_together_share_a_lane() -> None:
    faces = [
        face(0, 0, 0, 50, 50, times=(0, 3)),
        face(1, 0, 0, 50, 50, times=(4, 6)),
        face(2, 0, 0, 9, 9, times=(2, 5)),
    ]
    assert [[shown.face_id for shown in lane] for lane in lanes(faces)] == [[0, 1], [2]]


def test_with_too_many_faces_the_large_and_long_ones_stay() -> None:
    faces = [face(index, 0, 0, 10 + 10 * index, 50) for index in range(6)]
    assert [lane[0].face_id for lane in lanes(faces)] == [3, 4, 5]


def test_the_cursor_moves_evenly_from_start_to_end() -> None:
    one = face(0, 200, 60, 120, 140)

    def cursor(time: float) -> float:
        white = (bgr(drawn([one], 960, 540, gray=100, time=time))[500:535] > 245).all(axis=2).mean(axis=0)
        return float(np.flatnonzero(white > 0.5).mean())

    places = [cursor(time) for time in (0.0, 2.5, 5.0, 10.0)]
    steps = np.diff(places)
    assert steps[0] == pytest.approx(steps[1], abs=3)
    assert steps[2] == pytest.approx(2 * steps[1], abs=4)
    assert places[0] > 20
    assert places[3] < 900


def test_the_strip_is_empty_in_a_gap() -> None:
    smoothed = np.zeros((4, len(EMOTIONS)), np.float32)
    smoothed[:, EMOTIONS.index("happy")] = 1
    timeline = FaceTimeline(
        0,
        np.array([0.0, 3.0, 7.0, 10.0]),
        np.tile(np.array([200, 60, 120, 140], np.float32), (4, 1)),
        smoothed,
        "ok",
        np.array([False, True, False]),
        10.0,
    )
    planes = blank(960, 540)
    Overlay([timeline], 960, 540, 10.0, 6, "full").draw(Canvas(planes, 6), 5.0)
    happy = (np.abs(bgr(planes)[500:].astype(int) - rgb(EMOTION_COLORS["happy"])[::-1]).max(axis=2) < 25).any(axis=0)
    columns = np.flatnonzero(happy)
    breaks = np.diff(columns)
    assert (breaks > 5).sum() == 1
    assert breaks.max() / (columns[-1] - columns[0]) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (75, "1:15"), (3725.2, "1:02:05"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


# persons


def of(owner: Owner, one: FaceTimeline) -> FaceTimeline:
    return replace(one, owner=owner)


ANN, ONE = Owner("Ann-Sophie", "Ann…", 0), Owner("person 1", "P1", 1)


def test_faces_of_a_person_share_a_lane_and_a_colour() -> None:
    box = (100.0, 80.0, 90.0, 110.0)
    faces = [of(ANN, face(0, *box, times=(0, 4))), of(ONE, face(1, *box, times=(0, 9))), face(2, *box, times=(0, 3))]
    faces += [of(ANN, face(3, *box, times=(5, 9))), of(ONE, face(4, *box, times=(4, 5)))]
    found = [[shown.face_id for shown in lane] for lane in lanes(faces, limit=9)]
    assert sorted(found) == [[0, 3], [1], [2, 4]]
    later = drawn([faces[3]], 640, 360, time=7.0)
    assert np.array_equal(later, drawn([replace(faces[0], times=faces[3].times, held_until=9.0)], 640, 360, time=7.0))
    assert not np.array_equal(later, drawn([replace(faces[3], owner=None)], 640, 360, time=7.0))


@pytest.mark.parametrize("size", SIZES)
def test_long_names_fit_every_frame(size: tuple[int, int]) -> None:
    width, height = size
    owner = Owner("W" * 16, "WWW…", 0)
    box = (0.4 * width, 0.4 * height, 0.15 * width, 0.2 * height)
    with_name, without = (drawn([one], width, height) for one in (of(owner, face(0, *box)), face(0, *box)))
    assert touched(with_name).mean() < 2 * touched(without).mean() + 0.02
    assert touched(with_name).any()
