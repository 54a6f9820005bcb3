"""Timelines of one face with known ground truth, for ``tests.benchmarks.timelines``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fervid
from fervid.types import EMOTIONS, DoubleArray, FloatArray

SHORTEST, LONGEST = 0.4, 6.0
HOLD = (0.5, 2.0)
"""Shortest and longest time in seconds for which a ``held`` sequence shows one image."""
NAMED = ("angry", "disgust", "fear", "happy", "neutral", "sadness", "surprise")
CLIPS = ("wolfgang.mp4", "talking_d3.mp4", *(f"emo7_{name}.mp4" for name in NAMED), "d9_vfr.mp4", "d13_rot90.mov")
SMILES = "d19_h264_longgop.mkv"
"""A neutral face with five smiles of 0.2 to 0.6 s. It is the only real clip whose states are fully known."""


@dataclass(frozen=True)
class State:
    """One emotion from ``start`` to ``stop`` in seconds. ``whole``: the state does not reach the end of the
    sequence."""

    emotion: int
    start: float
    stop: float
    whole: bool = True

    @property
    def brief(self) -> bool:
        """Whether this is a complete state of less than a second."""
        return self.whole and self.stop - self.start < 1.0


@dataclass(frozen=True, eq=False)
class Timeline:
    """A timeline of one face.

    ``times`` (n,) in seconds; ``raw`` (n, 7) probabilities. ``truths``: correct emotions of each sample, empty where
    unknown. ``states``: states in order, empty where only ``truths`` are known.
    """

    name: str
    times: DoubleArray
    raw: FloatArray
    truths: tuple[frozenset[int], ...]
    states: tuple[State, ...] = ()


@dataclass(frozen=True, eq=False)
class Bank:
    """Classified images: ``labels`` (n,), ``probabilities`` (n, 7), and ``copies`` (n, c, 7) of c jittered copies."""

    labels: npt.NDArray[np.int64]
    probabilities: FloatArray
    copies: FloatArray


def make_states(rng: np.random.Generator, seconds: float, dwell: str) -> tuple[State, ...]:
    """Random states of ``SHORTEST`` to ``LONGEST`` seconds. Neighbours differ. ``dwell``: uniform or log-uniform."""
    states: list[State] = []
    time, emotion = 0.0, -1
    while time < seconds:
        if dwell == "uniform":
            length = rng.uniform(SHORTEST, LONGEST)
        else:
            length = float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST))))
        emotion = int(rng.choice([other for other in range(len(EMOTIONS)) if other != emotion]))
        states.append(State(emotion, time, min(time + length, seconds), time + length <= seconds))
        time += length
    return tuple(states)


def make(
    bank: Bank, kind: str, fps: float, count: int, dwell: str = "uniform", seconds: float = 60.0, seed: int = 0
) -> list[Timeline]:
    """Make ``count`` sequences. States depend only on ``seed`` and ``dwell``, so that rates and kinds can be
    compared."""
    return [_make(bank, kind, fps, dwell, seconds, (seed, number)) for number in range(count)]


def _make(bank: Bank, kind: str, fps: float, dwell: str, seconds: float, seeds: tuple[int, int]) -> Timeline:
    states = make_states(np.random.default_rng(seeds), seconds, dwell)
    rng = np.random.default_rng([*seeds, round(fps), kind == "held"])
    times = np.arange(round(seconds * fps)) / fps
    raw = np.empty((len(times), len(EMOTIONS)), np.float32)
    truths = np.empty(len(times), np.int64)
    for state in states:
        rows = np.flatnonzero((times >= state.start) & (times < state.stop))
        truths[rows] = state.emotion
        images = np.flatnonzero(bank.labels == state.emotion)
        if kind == "plain":
            raw[rows] = bank.probabilities[rng.choice(images, len(rows))]
        else:
            raw[rows] = _held(bank, images, times[rows], rng)
    return Timeline(f"{kind} {seeds}", times, raw, tuple(frozenset([int(t)]) for t in truths), states)


def _held(bank: Bank, images: npt.NDArray[np.int64], times: DoubleArray, rng: np.random.Generator) -> FloatArray:
    """Rows of consecutive images, each held for a while, in randomly chosen jittered copies."""
    chosen = np.empty(len(times), np.int64)
    until = -np.inf
    for row, time in enumerate(times):
        if time >= until:
            image, until = rng.choice(images), time + rng.uniform(*HOLD)
        chosen[row] = image
    return np.asarray(bank.copies[chosen, rng.integers(bank.copies.shape[1], size=len(times))], np.float32)


def real(media: Path, work: Path, fps: float, model: Path) -> list[Timeline]:
    """The first face of each clip with known expressions, sampled at ``fps`` (0: every frame), as ``model`` sees it."""
    truths = json.loads((media / "ground_truth.json").read_text(encoding="utf-8"))
    paths = [media / name for name in (*CLIPS, SMILES) if (media / name).exists()]
    out = work / f"real-{fps:g}.parquet"
    fervid.analyze(paths, out, fps=fps, model=model)
    timeline = fervid.read_results(out).timeline
    found = []
    for path in paths:
        rows = timeline[(timeline["video"] == path.name) & (timeline["face_id"] == 0).fillna(False)]
        times = rows["time"].to_numpy()
        spans = spans_of(truths, path.name)
        known = tuple(next((right for start, stop, right in spans if start <= time < stop), NOTHING) for time in times)
        states = tuple(State(min(right), start, stop) for start, stop, right in spans) if path.name == SMILES else ()
        found.append(Timeline(path.name, times, rows[list(EMOTIONS)].to_numpy(np.float32), known, states))
    return found


def spans_of(truths: Mapping[str, Any], name: str) -> list[tuple[float, float, frozenset[int]]]:
    """(start, stop, correct emotions) from ``ground_truth.json``, in order."""
    if name == SMILES:
        borders = [0.0, *(time for start, stop, _ in truths["d19"]["timeline"] for time in (start, stop)), np.inf]
        labels = [named("happy" if number % 2 else "neutral") for number in range(len(borders) - 1)]
        return list(zip(borders[:-1], borders[1:], labels, strict=True))
    clip = truths["clips"][name]
    if "dominant" in clip:
        return [(0.0, np.inf, named(clip["dominant"]))]
    return [(start, stop, named(text)) for start, stop, text in clip["timeline"]]


def named(text: str) -> frozenset[int]:
    """The emotions that a description names before its first comma or colon."""
    words = text.replace(":", ",").split(",")[0].split()
    return frozenset(EMOTIONS.index(word) for word in words if word in EMOTIONS)


NOTHING = frozenset[int]()
"""Ground truth of a sample where none is known."""
