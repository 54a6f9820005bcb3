"""The kinds of rows in the episodes table: episodes of emotions, and events such as blinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fervid.timeline.events import EMOTION

if TYPE_CHECKING:
    import pandas as pd  # slow to import; a run with nothing to do avoids it


def emotion_episodes(episodes: pd.DataFrame) -> pd.DataFrame:
    """Select the episodes of emotions. Every reader that shows, counts or exports emotions uses this.

    Args:
        episodes: Rows of the episodes table.

    Returns:
        The rows of the kind ``emotion``.
    """
    return of_kind(episodes, EMOTION)


def of_kind(episodes: pd.DataFrame, *kinds: str) -> pd.DataFrame:
    """Select the rows of some kinds.

    Args:
        episodes: Rows of the episodes table.
        *kinds: Values of the column ``kind``.

    Returns:
        The rows of these kinds.
    """
    return episodes[episodes["kind"].isin(kinds)]
