"""fervid turns folders of video into emotion timelines.

``analyze`` does what ``fervid analyze`` does; ``read_results`` gives its tables as pandas frames,
``plot_timeline`` draws a face of them. Importing this package loads neither TensorFlow nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fervid.types import EMOTIONS
from fervid.version import __version__

if TYPE_CHECKING:
    from fervid.batch.run import analyze
    from fervid.charts.plot import plot_timeline
    from fervid.results.reader import read_results

__all__ = ["EMOTIONS", "__version__", "analyze", "plot_timeline", "read_results"]

_LAZY = {"analyze": "fervid.batch.run", "plot_timeline": "fervid.charts.plot", "read_results": "fervid.results.reader"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fervid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
