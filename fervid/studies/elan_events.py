"""Reading the annotations of ELAN documents (EAF 2.x and 3.0).

pympi, which writes fervid's own documents, is not used: it prints warnings for other versions of EAF, and gives
annotations whose borders have no time of their own no time at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from fervid.errors import BadStudy
from fervid.results.text_tables import parse_number, read_text
from fervid.studies.events import Event


def read_elan(path: Path, tiers: Iterable[str] = ()) -> Iterator[Event]:
    """Read annotations as events. An annotation's value is the trial type; without a value, the tier's name is.

    Time slots without a time lie evenly between their neighbours, as ELAN shows them. Dependent annotations have the
    times of those they refer to.

    Args:
        path: The .eaf file.
        tiers: Tiers to read; none: all.

    Yields:
        The events.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is not an ELAN document, or a tier is missing.
    """
    root = _root(path)
    header = root.find("HEADER")
    if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
        raise BadStudy(f"{path}: its times are in {header.get('TIME_UNITS')}; save it with the current version of ELAN")
    video, origin = _video(root, path)
    slots = _slots(root, path)
    wanted = set(tiers)
    known = {tier.get("TIER_ID", "") for tier in root.iter("TIER")}
    if missing := sorted(wanted - known):
        raise BadStudy(f"{path}: no tier {missing[0]!r}; its tiers are {', '.join(sorted(known))}")
    spans = _spans(root, slots, path)
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        if wanted and name not in wanted:
            continue
        for annotation in tier.findall("ANNOTATION/*"):
            key = annotation.get("ANNOTATION_ID", "")
            start, end = spans[key]
            value = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
            place = f"{path}, tier {name!r}, annotation {key}"
            columns = {"tier": name}
            onset, duration = round(start + origin, 6), round(end - start, 6)
            yield Event(place, onset, duration, value or name, video, "", tier.get("PARTICIPANT", ""), columns)


def _root(path: Path) -> ElementTree.Element:
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadStudy(f"{path} declares entities, which ELAN documents do not; it is not read")
    try:
        root = ElementTree.fromstring(text)  # as text, so that the declared encoding does not matter
    except ElementTree.ParseError as error:
        raise BadStudy(f"{path}, line {error.position[0]}: it is not valid XML") from error
    except (LookupError, ValueError) as error:
        raise BadStudy(f"{path}, line 1: it is not valid XML") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise BadStudy(f"{path} is not an ELAN document")
    return root


def _video(root: ElementTree.Element, path: Path) -> tuple[str, float]:
    """Name of the first linked video, and the time in it at which the document begins, in seconds."""
    for media in root.iter("MEDIA_DESCRIPTOR"):
        url = media.get("MEDIA_URL") or media.get("RELATIVE_MEDIA_URL") or ""
        if not media.get("MIME_TYPE", "").startswith("audio") and url:
            origin = parse_number(media.get("TIME_ORIGIN") or "0")
            if origin is None:
                raise BadStudy(f"{path}: the time origin of its video is not a number of milliseconds")
            return unquote(url).replace("\\", "/").rsplit("/", 1)[-1], origin / 1000
    return path.stem, 0.0


def _slots(root: ElementTree.Element, path: Path) -> dict[str, float]:
    """Time slot → seconds."""
    slots = list(root.iter("TIME_SLOT"))
    values: list[float | None] = []
    for slot in slots:
        text = slot.get("TIME_VALUE")
        if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 12):
            raise BadStudy(f"{path}, time slot {slot.get('TIME_SLOT_ID')}: {text!r} is not a number of milliseconds")
        values.append(None if text is None else int(text) / 1000)
    timed = [place for place, value in enumerate(values) if value is not None]
    for place, value in enumerate(values):
        if value is None:
            before = max((one for one in timed if one < place), default=None)
            after = min((one for one in timed if one > place), default=None)
            if before is None or after is None:
                raise BadStudy(f"{path}, time slot {slots[place].get('TIME_SLOT_ID')}: it has no time")
            first, last = values[before], values[after]
            assert first is not None
            assert last is not None
            values[place] = first + (last - first) * (place - before) / (after - before)
    return {slot.get("TIME_SLOT_ID", ""): value for slot, value in zip(slots, values, strict=True) if value is not None}


def _spans(root: ElementTree.Element, slots: dict[str, float], path: Path) -> dict[str, tuple[float, float]]:
    """Annotation → start and end in seconds."""
    spans: dict[str, tuple[float, float]] = {}
    parents: dict[str, str] = {}
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        key = annotation.get("ANNOTATION_ID", "")
        try:
            spans[key] = slots[annotation.get("TIME_SLOT_REF1", "")], slots[annotation.get("TIME_SLOT_REF2", "")]
        except KeyError as error:
            raise BadStudy(f"{path}, annotation {key}: no time slot {error}") from error
        if spans[key][1] < spans[key][0]:
            raise BadStudy(f"{path}, annotation {key}: it ends before it starts")
    for annotation in root.iter("REF_ANNOTATION"):
        parents[annotation.get("ANNOTATION_ID", "")] = annotation.get("ANNOTATION_REF", "")
    for key in parents:
        chain = [key]
        while chain[-1] in parents and len(chain) <= len(parents):
            chain.append(parents[chain[-1]])
        if chain[-1] not in spans:
            raise BadStudy(f"{path}, annotation {key}: it refers to no annotation with times")
        spans[key] = spans[chain[-1]]
    return spans
