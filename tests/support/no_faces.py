"""Analysis of frames without looking for faces."""

from __future__ import annotations

from fervid.scan.frame_analysis import FaceDetections, FrameAnalyzer, FrameResult
from fervid.types import Frame


class NoFaces(FrameAnalyzer):
    """Finds no face, so that only the choice of frames and the cuts remain."""

    def __init__(self) -> None:
        pass

    def analyze_frame(self, frame: Frame) -> FrameResult:
        """See FrameAnalyzer."""
        sample = FaceDetections(frame.index) if frame.sampled else None
        return FrameResult(frame.time, frame.thumbnail, frame.shape, sample, skipped=frame.skipped)
