"""The definition of every column of a study, and the text for the methods section of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fervid.settings_io import to_mapping
from fervid.studies.plan import Plan
from fervid.studies.statistics import MIN_PARTICIPANTS
from fervid.version import __version__

_WINDOW = {
    "participant": "participant_id",
    "video": "name of the video in the results",
    "event": "number of the event in the study, from 0 in the order of the files; -1 for a bin",
    "trial_type": "what happened; empty for a bin",
    "window": "event: the whole event; around: around its onset; bin: a fixed part of the recording",
    "start": "start of the window, in seconds of the video",
    "end": "end of the window, in seconds of the video",
    "measure": "what is measured: an emotion (probability), valence (-1 to 1), a further column of the timeline in its "
    "unit, or an event of the face (blink, nod, shake, speaking), whose mean is the share of time that lies in one",
}
_FIGURES = {
    "mean": "mean over observed time",
    "maximum": "largest value of a sample; empty for events",
    "area": "integral over observed time, in units of the measure times seconds",
    "share_leading": "share of observed time in which this emotion is the largest",
    "episodes": "number of episodes of this emotion, or of these events, that begin in the window",
    "episodes_per_minute": "episodes divided by the observed minutes",
    "latency": "seconds from the onset of the event to the first episode that begins after it in the window; empty "
    "without one, and if more than 0.5 s before it were not observed",
    "change": "mean minus the mean of the participant's baseline",
    "change_log_odds": "log-odds of the mean minus log-odds of the baseline's mean; of probabilities only",
}
_INTERVAL = {
    "participants": "number of participants with a value",
    "low": f"lower end of the 95 % interval (bootstrap-t over participants); empty for fewer than {MIN_PARTICIPANTS} "
    "participants, and if most of them have the same value",
    "high": "upper end of that interval",
    "sd": "standard deviation over participants; between groups: the pooled one",
}
_GROUP = {
    "group": "group of participants; all: every participant",
    "trial_type": "the condition; empty for bins",
    "window": _WINDOW["window"],
    "measure": _WINDOW["measure"],
    "statistic": "which column of the table of conditions",
}

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "windows": {
        **_WINDOW,
        "seconds": "seconds for which the measure was observed",
        "coverage": "seconds divided by the length of the window",
        "quality": "mean face_quality over observed time",
        "usable": "whether coverage is at least the coverage that the study asks for",
        **_FIGURES,
        "set_aside": "values of a window that is not usable, in brackets; they are in no other table",
    },
    "conditions": {
        **{name: _WINDOW[name] for name in ("participant", "trial_type", "window", "measure")},
        "events": "number of windows",
        "events_used": "number of usable windows; the figures are means over them",
        **_FIGURES,
        "kept_apart": "whether the participant is left out of groups, differences and course; the table apart says why",
    },
    "wide": {
        "participant": "participant_id",
        "kept_apart": "whether the participant is left out of groups, differences and course; the table apart says why",
    },
    "groups": {**_GROUP, "mean": "mean over participants", **_INTERVAL},
    "differences": {
        "comparison": "within: trial_type minus versus, of the same participants; between: group minus versus",
        **_GROUP,
        "versus": "the condition or group that is subtracted",
        "difference": "mean difference",
        **_INTERVAL,
        "effect_size": "difference divided by sd, with the correction of Hedges (within: d_z; between: g)",
    },
    "course": {
        "group": "group of participants; empty for the row of one participant",
        "participant": "participant_id; empty for the row of a group",
        "trial_type": "the condition",
        "time": "middle of the step, in seconds from the onset",
        "measure": _WINDOW["measure"],
        "participants": _INTERVAL["participants"],
        "mean": "mean over events, then over participants",
        "low": _INTERVAL["low"],
        "high": _INTERVAL["high"],
    },
    "baselines": {
        "participant": "participant_id",
        "measure": _WINDOW["measure"],
        "asked": "length of the baseline in seconds",
        "seconds": "seconds of it for which the measure was observed",
        "coverage": "seconds divided by asked",
        "quality": "mean face_quality over observed time",
        "mean": "mean over observed time",
        "sd": "standard deviation over observed time",
        "trust": "ok, or the reasons to doubt this baseline",
        "missing": "why the baseline cannot be used; empty if it can",
    },
    "synchrony": {
        "video": _WINDOW["video"],
        "participant": "the first participant",
        "other": "the second participant",
        "measure": _WINDOW["measure"],
        "seconds": "seconds for which both were observed; empty, like the rest, if these are less than 10",
        "correlation": "Pearson correlation at the lag where its amount is largest",
        "lag": "that lag in seconds; above 0 if the second participant follows the first",
        "at_zero": "correlation without a lag",
        "null_mean": "mean of the largest amount in 200 shuffled repetitions, in which the second is shifted in time",
        "null_high": "amount below which 95 % of these repetitions stay",
        "null_share": "share of these repetitions with at least the observed amount",
    },
    "apart": {
        "participant": "participant_id; empty for a video without one",
        "video": "name of the video; empty if the whole participant is kept apart",
        "reason": "why",
    },
}
"""Table → column → meaning. Further columns of the participants and events tables are added to these."""


def describe(plan: Plan, columns: Mapping[str, list[str]]) -> dict[str, Any]:
    """Describe a study and its tables, for ``study.json``.

    Args:
        plan: The study.
        columns: Table → the columns that it has.

    Returns:
        Plain values.
    """
    return {
        "fervid": __version__,
        "settings": to_mapping(plan.settings),
        "methods": methods_text(plan),
        "participants": len(plan.participants),
        "recordings": len(plan.recordings),
        "events": len(plan.events),
        "conditions": list(plan.conditions),
        "measures": list(plan.measures),
        "tables": {
            table: {name: COLUMNS[table].get(name) or _other(name) for name in names}
            for table, names in columns.items()
        },
    }


def _other(name: str) -> str:
    """The meaning of a column whose name depends on the study."""
    for ending in ("_mean", "_change", "_change_log_odds"):
        if name.endswith(ending):
            return f"measure, condition, kind of window, and {ending[1:]} as in the table of conditions"
    if name.startswith("event_"):
        return f"column {name.removeprefix('event_')} of the events"
    return f"column {name.removeprefix('participant_')} of the participants table"


def methods_text(plan: Plan) -> str:
    """Write how the study was computed, for the methods section of a paper.

    Args:
        plan: The study.

    Returns:
        A paragraph.
    """
    settings, baseline, windows = plan.settings, plan.settings.baseline, plan.settings.windows
    text = [
        f"Facial expressions were analysed with fervid {__version__}.",
        f"{'Smoothed' if settings.values == 'smooth' else 'Raw'} probabilities of seven emotions were averaged over "
        "time, with each sampled frame weighted by the time for which it stands.",
    ]
    kinds = []
    if windows.whole:
        kinds.append("whole events")
    if windows.around:
        kinds.append(f"windows from {windows.around[0]:g} to {windows.around[1]:g} s around the onsets of events")
    if windows.bins is not None:
        kinds.append(f"bins of {windows.bins:g} s")
    text.append(f"Values were computed in {' and in '.join(kinds)}.")
    text.append(
        f"Windows observed for less than {100 * settings.coverage:g} % of their length were set aside"
        + ("; faces whose trust was not ok did not count as observed." if settings.trust == "ok" else ".")
    )
    if baseline.event is not None:
        text.append(f"Changes are differences from each participant's mean during events of the type {baseline.event}.")
    elif baseline.start is not None:
        text.append(f"Changes are differences from each participant's mean from {baseline.start:g} to "
                    f"{baseline.end:g} s of each recording.")  # fmt: skip
    elif baseline.lowest is not None:
        text.append(f"Changes are differences from the mean of the lowest {100 * baseline.lowest:g} % of each "
                    "recording, for each participant and measure.")  # fmt: skip
    if baseline.is_given:
        text.append(f"Participants with less than {baseline.minimum:g} s of observed baseline were kept apart.")
    text.append(
        "Values were averaged over the events of each participant and condition, and then over participants. Intervals "
        f"are 95 % bootstrap-t intervals over participants ({settings.statistics.repetitions} repetitions). Effect "
        "sizes within participants are d_z and between groups g, both with the correction of Hedges."
    )
    return " ".join(text)
