"""The contact sheet: one HTML page with the faces of every participant, to check the names by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fervid.charts.page_templates import inlined, template_environment
from fervid.participants.gallery import Gallery
from fervid.participants.outcome import FoundPerson
from fervid.timeline.time_format import duration_text
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"

FACES = 4
"""Largest number of faces that the sheet shows of a person, and of photos of a participant."""


MANY = 500
"""If there are more persons, the sheet shows one face of each, so that a browser can open it."""


@dataclass(frozen=True)
class Card:
    """A person on the sheet.

    Attributes:
        person: Who it is.
        images: Thumbnails as data URIs.
        first_seen: Seconds.
    """

    person: FoundPerson
    images: tuple[str, ...]
    first_seen: float


def render(cards: Sequence[Card], gallery: Gallery | None, title: str, threshold: float) -> str:
    """Render the sheet.

    Args:
        cards: The persons.
        gallery: The gallery; None if the persons were grouped.
        title: Name of the results.
        threshold: Cosine similarity from which persons got a name.

    Returns:
        The page as HTML, which needs no other file and no network.
    """
    by_name: dict[str, list[Card]] = {} if gallery is None else {name: [] for name in gallery.names}
    for card in cards:
        if card.person.participant is not None:
            by_name.setdefault(card.person.participant, []).append(card)
    participants = [
        {"name": name, "photos": _spread(gallery.images.get(name, []) if gallery else []), "cards": members}
        for name, members in by_name.items()
    ]
    unknown = [card for card in cards if card.person.participant is None]
    environment = template_environment(ASSETS)
    limit = FACES if len(cards) <= MANY else 1
    environment.filters |= {"duration": duration_text, "spread": partial(_spread, limit=limit)}
    values: dict[str, Any] = {
        "title": title, "participants": participants, "unknown": unknown, "persons": len(cards),
        "named": len(cards) - len(unknown), "has_gallery": gallery is not None, "threshold": threshold,
        "version": __version__, **inlined([ASSETS / "sheet.css"]),
    }  # fmt: skip
    return environment.get_template("sheet.html").render(values)


def _spread(images: Sequence[str], limit: int = FACES) -> list[str]:
    """At most ``limit`` of some images, spread evenly."""
    count = min(len(images), limit)
    return [images[(2 * i + 1) * len(images) // (2 * count)] for i in range(count)]
