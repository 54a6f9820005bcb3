"""Drawing where a head is turned, and the outlines of its mesh."""

from __future__ import annotations

import numpy as np

from fervid.annotate.yuv_canvas import Canvas, Color
from fervid.faces.landmarks import CLOSED_LINES, OPEN_LINES
from fervid.faces.pose import rotation_of
from fervid.timeline.interpolation import FaceState

AXIS_LENGTH = 0.45
"""Length of an axis that lies in the image, in sides of the face's box (their geometric mean)."""
AXIS_COLORS: tuple[Color, ...] = ((238, 119, 102), (102, 204, 119), (102, 170, 238))
"""Colours of the axes to the person's left, up, and forward. They are drawn in the order of their depth."""
OUTLINE: Color = (245, 245, 245)
DARK: Color = (12, 12, 16)


def draw_head(canvas: Canvas, state: FaceState, thickness: int) -> None:
    """Draw the outlines of the mesh and the axes of the head.

    Nothing is drawn where the pose is unknown: the network is not sure of such a face, and the points are wrong.

    Args:
        canvas: The frame; changed in place.
        state: The face.
        thickness: Of a line in pixels.
    """
    if state.angles is None:
        return
    x, y, width, height = state.box
    if state.outline is not None:
        places = state.outline.astype(np.float64) * (width, height) + (x, y)
        thin = max(1, thickness // 2)
        for lines, closed in ((OPEN_LINES, False), (CLOSED_LINES, True)):
            paths = [[(float(a), float(b)) for a, b in places[line]] for line in lines]
            canvas.lines(paths, DARK, thin + 2, closed)
            canvas.lines(paths, OUTLINE, thin, closed)
    rotation = rotation_of(*state.angles)
    middle, length = (x + width / 2, y + height / 2), AXIS_LENGTH * (width * height) ** 0.5
    for axis in np.argsort(rotation[2]).tolist():  # the axis that points at the camera most comes last
        across, up, _ = (rotation[:, axis] * length).tolist()
        path = [middle, (middle[0] + across, middle[1] - up)]
        canvas.lines([path], DARK, thickness + 2, closed=False)
        canvas.lines([path], AXIS_COLORS[axis], thickness, closed=False)
