"""The HTML page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from fervid.colors import EMOTION_COLORS
from fervid.report import content
from fervid.results.reader import Results
from fervid.types import EMOTIONS
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"


def render(tables: Results, name: str, pictures: Mapping[str, Mapping[int, str]]) -> str:
    """The page. ``name`` is that of the results, ``pictures`` is video → face_id → data URI."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "clock": clock,
        "span": span,
        "percent": percent,
        "counted": counted,
        "length_of": length_of,
    }
    script = "\n".join(_asset(part) for part in ("uPlot.iife.min.js", "page.js"))
    colors = "".join(f".c-{name}{{--c:{color}}}" for name, color in EMOTION_COLORS.items())
    style = "\n".join([_asset("uPlot.min.css"), _asset("page.css"), colors])
    found = content.videos(tables, pictures)
    data = {"emotions": EMOTIONS, "colors": [EMOTION_COLORS[emotion] for emotion in EMOTIONS], "videos": found}
    return environment.get_template("page.html").render(
        name=name,
        data=data,
        videos=found,
        thinned=any(face["thinned"] > 1 for video in found for face in video["faces"]),
        overview=content.overview(tables, found),
        provenance=content.provenance(tables),
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
    """A content security policy: this script and this style, pictures inside the page, and nothing else."""

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def clock(seconds: float) -> str:
    """75.25 → 1:15.2."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def span(seconds: float) -> str:
    """A length of time in words: 4.2 s, 2 min 47 s, 3 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def length_of(video: Mapping[str, Any]) -> str:
    """How long a film is, and how much of it was analysed where that is clearly less."""
    analysed, duration = video["analysed"], video["duration"]
    if duration is None:
        return f"{span(analysed)} analysed"
    return span(duration) if analysed > 0.9 * duration - 1 else f"{span(analysed)} of {span(duration)}"


def counted(count: int, noun: str) -> str:
    """1 face, 2 faces."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """A share as a percentage that says 0 and 100 only where they are true."""
    value = 100 * share
    if 0 < value < 0.5:
        return "< 1 %"
    if 99.5 <= value < 100:
        return "> 99 %"
    return f"{value:.0f} %"
