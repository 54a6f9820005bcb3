"""The check that settings of training lie within their ranges."""

from __future__ import annotations

from fervid.settings import check


def check_range(
    settings: object, names: tuple[str, ...], low: float, high: float, where: str = "", open_end: bool = False
) -> None:
    """Refuse settings outside a range.

    Args:
        settings: The object that holds them.
        names: Names of the settings to check.
        low: Smallest allowed value.
        high: Largest allowed value.
        where: What the error puts before a name, such as ``augment.``.
        open_end: Refuse ``high`` itself too.

    Raises:
        ConfigError: A value lies outside the range or is not a number.
    """
    for name in names:
        value = getattr(settings, name)
        inside = low <= value < high if open_end else low <= value <= high
        limit = "below" if open_end else "at most"
        check(inside, f"{where}{name} must be at least {low} and {limit} {high}, not {value}")
