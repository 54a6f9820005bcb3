"""The templates of the HTML pages."""

from __future__ import annotations

from pathlib import Path

import jinja2


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
