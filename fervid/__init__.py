"""fervid turns folders of video into emotion timelines.

>>> import fervid
>>> report = fervid.analyze("sample_videos", "all.parquet", fps=1)
>>> video = fervid.analyze_video("sample_videos/cut.mp4", fps=1)
>>> video.timeline[["time", "face_id", "emotion", "confidence"]].head()  # doctest: +ELLIPSIS
   time  face_id  ...

``analyze`` and ``analyze_video`` run the whole pipeline. ``open_video``, ``load_detector``, ``crop_faces`` and
``load_classifier`` are its steps. ``read_results``, ``plot_timeline``, ``annotate_videos``, ``write_report``,
``export_results``, ``merge_results``, ``find_participants``, ``correct``, ``study``, ``agree`` and ``status`` work on
results.
Exceptions are in ``fervid.errors``.

Importing fervid loads no library: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fervid import errors as errors
from fervid.errors import FervidError
from fervid.version import __version__

if TYPE_CHECKING:
    from fervid.api import (
        analyze,
        analyze_video,
        annotate_videos,
        correct,
        export_results,
        find_participants,
        merge_results,
        write_report,
    )
    from fervid.batch.status import status
    from fervid.charts.plot import plot_timeline
    from fervid.emotions.classifier import load_classifier
    from fervid.faces.detectors import load_detector
    from fervid.pipeline import crop_faces, open_video
    from fervid.results.reader import Results, read_results
    from fervid.settings import AnalyzeSettings, InputSettings, RunSettings, ScanSettings, TimelineSettings
    from fervid.studies.agree import agree
    from fervid.studies.study import study
    from fervid.types import EMOTIONS, Progress

__all__ = [
    "EMOTIONS",
    "AnalyzeSettings",
    "FervidError",
    "InputSettings",
    "Progress",
    "Results",
    "RunSettings",
    "ScanSettings",
    "TimelineSettings",
    "__version__",
    "agree",
    "analyze",
    "analyze_video",
    "annotate_videos",
    "correct",
    "crop_faces",
    "export_results",
    "find_participants",
    "load_classifier",
    "load_detector",
    "merge_results",
    "open_video",
    "plot_timeline",
    "read_results",
    "status",
    "study",
    "write_report",
]

_MODULES = {
    "agree": "fervid.studies.agree",
    "AnalyzeSettings": "fervid.settings",
    "EMOTIONS": "fervid.types",
    "InputSettings": "fervid.settings",
    "Progress": "fervid.types",
    "RunSettings": "fervid.settings",
    "ScanSettings": "fervid.settings",
    "TimelineSettings": "fervid.settings",
    "analyze": "fervid.api",
    "analyze_video": "fervid.api",
    "annotate_videos": "fervid.api",
    "correct": "fervid.api",
    "crop_faces": "fervid.pipeline",
    "export_results": "fervid.api",
    "find_participants": "fervid.api",
    "load_classifier": "fervid.emotions.classifier",
    "load_detector": "fervid.faces.detectors",
    "merge_results": "fervid.api",
    "open_video": "fervid.pipeline",
    "plot_timeline": "fervid.charts.plot",
    "read_results": "fervid.results.reader",
    "Results": "fervid.results.reader",
    "status": "fervid.batch.status",
    "study": "fervid.studies.study",
    "write_report": "fervid.api",
}
"""The module of each name that is loaded on first use."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fervid' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "errors"})
