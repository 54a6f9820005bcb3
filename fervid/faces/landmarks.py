"""The 68 landmarks of iBUG among the points of the face mesh."""

from __future__ import annotations

LANDMARKS = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, from the right ear
    *(71, 63, 105, 66, 107),  # right brow
    *(336, 296, 334, 293, 301),  # left brow
    *(168, 197, 5, 4),  # bridge of the nose
    *(75, 97, 2, 326, 305),  # lower edge of the nose
    *(33, 160, 158, 133, 153, 144),  # right eye
    *(362, 385, 387, 263, 373, 380),  # left eye
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer edge of the lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner edge of the lips
)
"""The points of the mesh that lie where the 68 points of iBUG (Sagonas et al., 2013) do, in their order."""

OPEN_LINES = (slice(0, 17), slice(17, 22), slice(22, 27), slice(27, 31), slice(31, 36))
"""Landmarks that form lines: jaw, brows, bridge and lower edge of the nose."""
CLOSED_LINES = (slice(36, 42), slice(42, 48), slice(48, 60), slice(60, 68))
"""Landmarks that form closed lines: eyes, outer and inner edge of the lips."""
