"""The HTML page of the report, from its template and assets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fervid.charts.measure_rows import described_rows, has_measures
from fervid.charts.page_templates import (
    SHARED_ASSETS,
    TIMELINE_SCRIPTS,
    TIMELINE_STYLE,
    inlined,
    template_environment,
)
from fervid.colors import EMOTION_COLORS
from fervid.report import page_content
from fervid.report.frame_plan import FramePlan
from fervid.results.reader import Results
from fervid.timeline.summary import MIN_QUALITY
from fervid.timeline.time_format import clock, duration_text
from fervid.types import EMOTIONS
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"

SCRIPTS = (
    *TIMELINE_SCRIPTS,
    *(ASSETS / name for name in ("values.js", "strip.js", "picture.js", "faces.js", "page.js")),
)
"""All modules of the page."""


def render(
    tables: Results, name: str, pictures: Iterable[tuple[str, Mapping[str, Any]]] | None, plan: FramePlan
) -> Iterator[str]:
    """Render the page.

    Args:
        tables: The results.
        name: Name of the results, shown as the title.
        pictures: video_id and pictures of each video, taken one by one while the page is rendered; None: no pictures.
        plan: Which frames are among them.

    Returns:
        The page as HTML, piece by piece.
    """
    environment = template_environment(ASSETS)
    environment.filters |= {
        "duration": duration_text,
        "percent": percent,
        "counted": counted,
        "length_of": length_of,
        "clock": clock,
        "as_json": as_json,
    }
    colors = "".join(f".c-{name}{{--c:{color}}}" for name, color in EMOTION_COLORS.items())
    styles = [SHARED_ASSETS / "document.css", TIMELINE_STYLE, ASSETS / "page.css"]
    videos = page_content.videos(tables)
    places = {video["id"]: place for place, video in enumerate(videos)}
    rows = described_rows() if has_measures(tables.timeline) else []
    series = [{"name": emotion, "color": EMOTION_COLORS[emotion]} for emotion in EMOTIONS]
    return environment.get_template("page.html").generate(
        name=name,
        common={"series": series, "minQuality": MIN_QUALITY, "pictures": pictures is not None, "rows": rows},
        videos=videos,
        pictures=((places[video_id], values) for video_id, values in pictures or () if video_id in places),
        plan=plan,
        thinned=any(face["thinned"] > 1 for video in videos for face in video["faces"]),
        overview=page_content.overview(tables, videos),
        provenance=page_content.provenance(tables),
        emotions=EMOTIONS,
        colors=EMOTION_COLORS,
        **inlined(styles, SCRIPTS, colors, "file:" if pictures is not None else "'none'"),
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def as_json(values: Any) -> str:
    """Write values for a script element of the page.

    Args:
        values: Values that JSON can hold.

    Returns:
        JSON in which no character begins a tag, a comment or a character reference. Numbers that are not finite are
        null.
    """
    try:
        text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(values), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(values: Any) -> Any:
    """The same values with None in place of numbers that are not finite."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    return [_finite(value) for value in values] if isinstance(values, list | tuple) else values


def length_of(video: Mapping[str, Any]) -> str:
    """Write the length of a video, and how much of it was analysed if that is clearly less.

    Args:
        video: A video as ``page_content.videos`` describes it.

    Returns:
        Text such as ``2 min 47 s`` or ``4.2 s of 2 min 47 s``.
    """
    analysed, duration = video["analysed"], video["duration"]
    if duration is None:
        return f"{duration_text(analysed)} analysed"
    if analysed > 0.9 * duration - 1:
        return duration_text(duration)
    return f"{duration_text(analysed)} of {duration_text(duration)}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun.

    Args:
        count: The count.
        noun: The noun in the singular.

    Returns:
        Text such as ``1 face`` or ``2 faces``.
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Write a share as a percentage. It reads 0 % or 100 % only if that is exact.

    Args:
        share: From 0 to 1.

    Returns:
        Text such as ``50 %``, ``< 1 %`` or ``> 99 %``.
    """
    value = 100 * share
    if 0 < value < 0.5:
        return "< 1 %"
    if 99.5 <= value < 100:
        return "> 99 %"
    return f"{value:.0f} %"
