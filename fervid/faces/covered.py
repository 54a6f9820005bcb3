"""Whether something covers a face: a hand, a mask, a mug, dark glasses."""

from __future__ import annotations

import numpy as np

from fervid.faces.crop import normalize
from fervid.faces.quality import COVERED as COVERED_QUALITY
from fervid.faces.quality import uncovered_term
from fervid.runtime.onnx_session import open_session
from fervid.runtime.weights import ShippedFile
from fervid.types import COVERED, ByteArray, Doubt, Track

NETWORK = ShippedFile("covered.onnx", "10751ec096a5eceebb46618bb1a1e74f6ea8e58ea61014681b085bf8e2ddc219")


LIKELY = 0.85
"""Output of the network from which a face counts as covered. In real clips, free faces reach 0.7, and 0.9 in single
frames that are blurred or grimace; a hand before the mouth and nose gives 0.93 and more."""
MAX_SHARE = 0.25
"""Share of covered samples above which a face is doubtful."""
MARGIN, MIN_STRETCH = 1.1, 0.15
"""Seconds before and after a covered stretch in which the quality is lowered too, and the shortest such stretch in
seconds, from its first to its last sample. A hand comes and goes within about a second, and the network sees it late:
it misses fingers at the chin and hands that blur. At 5 samples per second two samples in a row are a stretch."""


class CoverDetector:
    """A small convolutional network on the crops of the emotion network, on one CPU thread.

    ``python -m fervid.training.covered_faces`` trains it on faces with drawn covers.
    """

    def __init__(self) -> None:
        self._session = open_session(NETWORK.read())

    def covered(self, crop: ByteArray) -> float:
        """Look at one face.

        Args:
            crop: (48, 48) uint8, gray; see fervid.faces.crop.

        Returns:
            How likely it is that something covers a part of the face, 0 to 1.
        """
        inputs = np.ascontiguousarray(normalize(crop[None]).transpose(0, 3, 1, 2))
        return float(self._session.run(None, {"image": inputs})[0][0, 0])


def cover_doubts(track: Track) -> list[Doubt]:
    """Find out whether a face is covered for much of the time.

    Args:
        track: The face.

    Returns:
        One doubt, from the first to the last covered sample, if more than MAX_SHARE of the samples are covered.
    """
    if track.covered is None:
        return []
    rows = np.flatnonzero(track.covered >= LIKELY)
    if len(rows) <= MAX_SHARE * len(track.times):
        return []
    return [Doubt(track.face_id, float(track.times[rows[0]]), float(track.times[rows[-1]]), COVERED)]


def lower_beside_covers(track: Track) -> None:
    """Lower the quality of samples close to a covered stretch to what it would be if they were covered.

    A stretch consists of samples in a row from LIKELY on, with at most MARGIN seconds between neighbours. It spans at
    least MIN_STRETCH seconds.

    Args:
        track: The face. Its qualities are changed.
    """
    if track.covered is None:
        return
    times, rows = track.times, np.flatnonzero(track.covered >= LIKELY)
    broken = (np.diff(rows) > 1) | (np.diff(times[rows]) > MARGIN)
    close = np.zeros(len(times), bool)
    for stretch in np.split(rows, np.flatnonzero(broken) + 1):
        if len(stretch) and times[stretch[-1]] - times[stretch[0]] >= MIN_STRETCH:
            close |= (times >= times[stretch[0]] - MARGIN) & (times <= times[stretch[-1]] + MARGIN)
    rated = [uncovered_term(float(one)) for one in track.covered[close]]
    track.qualities[close] *= np.float32(COVERED_QUALITY) / np.array(rated, np.float32)
