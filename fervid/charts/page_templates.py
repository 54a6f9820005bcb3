"""The parts of HTML pages: their templates, their scripts and styles, and what they may load."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

SHARED_ASSETS = Path(__file__).parent / "assets"
"""Scripts and styles that several pages use, such as the timeline."""

TIMELINE_SCRIPTS = tuple(SHARED_ASSETS / name for name in ("basics.js", "drawing.js", "timeline.js"))
"""The modules of the timeline, each after those that it imports."""

TIMELINE_STYLE = SHARED_ASSETS / "timeline.css"
"""The style of the timeline."""

_IMPORT = re.compile(r'^(import|export) \{[^}]*\} from "\./[a-z_]+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(const|function|class|async)\b)", re.MULTILINE)


def template_environment(folder: Path) -> jinja2.Environment:
    """Open the templates of a page. Values are escaped, and a name that is not given is an error.

    Args:
        folder: Where the templates are.

    Returns:
        The environment, from which templates are taken.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def inlined(
    styles: Sequence[Path], modules: Sequence[Path] = (), more_style: str = "", media: str = "'none'"
) -> dict[str, str]:
    """Make the parts of a page that needs no other file.

    Args:
        styles: The files of its style.
        modules: The modules of its script, ``<script type="module">``, each after those that it imports. They share
            one scope, so no two of them may declare the same name outside a function.
        more_style: Style that stands after that of the files.
        media: What videos may be loaded from, in the words of a content security policy.

    Returns:
        ``script`` and ``style``, the texts, and ``policy``, a content security policy that allows this script, this
        style, images inside the page, and nothing else.
    """
    script = _joined_script(modules)
    style = "\n".join([*(path.read_text(encoding="utf-8").strip() for path in styles), *filter(None, [more_style])])
    return {"script": script, "style": style, "policy": _content_policy(script, style, media)}


def _joined_script(modules: Sequence[Path]) -> str:
    """The text of modules without imports and exports."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", path.read_text(encoding="utf-8"))).strip() for path in modules)


def _content_policy(script: str, style: str, media: str) -> str:
    scripts = _digest(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_digest(style)}; img-src data:; "
        f"media-src {media}; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
