"""The HTML page of the report, from its template and assets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fervid.charts.page_templates import template_environment
from fervid.colors import EMOTION_COLORS
from fervid.report import page_content
from fervid.results.reader import Results
from fervid.timeline.time_format import clock, duration_text
from fervid.types import EMOTIONS
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"


def render(tables: Results, name: str, images: Mapping[str, Mapping[int, str]]) -> str:
    """Render the page.

    Args:
        tables: The results.
        name: Name of the results, shown as the title.
        images: Video → face_id → thumbnail as a data URI.

    Returns:
        The page as HTML.
    """
    environment = template_environment(ASSETS)
    environment.filters |= {
        "duration": duration_text,
        "percent": percent,
        "counted": counted,
        "length_of": length_of,
        "clock": clock,
    }
    script = "\n".join(_asset(part) for part in ("uPlot.iife.min.js", "page.js"))
    colors = "".join(f".c-{name}{{--c:{color}}}" for name, color in EMOTION_COLORS.items())
    style = "\n".join([_asset("uPlot.min.css"), _asset("page.css"), colors])
    videos = page_content.videos(tables, images)
    data = {"emotions": EMOTIONS, "colors": [EMOTION_COLORS[emotion] for emotion in EMOTIONS], "videos": videos}
    return environment.get_template("page.html").render(
        name=name,
        data=data,
        videos=videos,
        thinned=any(face["thinned"] > 1 for video in videos for face in video["faces"]),
        overview=page_content.overview(tables, videos),
        provenance=page_content.provenance(tables),
        emotions=EMOTIONS,
        colors=EMOTION_COLORS,
        licence=_asset("uPlot.LICENSE"),
        script=script,
        style=style,
        policy=_policy(script, style),
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8").strip()


def _policy(script: str, style: str) -> str:
    """A content security policy that allows this script, this style and images inside the page, and nothing else."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


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
