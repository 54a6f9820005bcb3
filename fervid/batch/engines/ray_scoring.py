"""Scoring on the GPUs of a Ray cluster: crops of all videos → calibrated probabilities, in processes on GPU nodes.

Only loaded where Ray is asked for. The crops lie in files on a path that all nodes share; only their names travel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray
from ray.exceptions import RayError

from fervid.batch.engines.base import hold_signals as signals_held
from fervid.batch.engines.ray_cluster import TICK, resource, wait_for_result
from fervid.emotions.background_loader import BatcherLoader
from fervid.emotions.sidecar import read_sidecar
from fervid.errors import BadWeights, FervidError, InternalError, WorkerFailed
from fervid.settings import Device, RunSettings
from fervid.types import Crops

if TYPE_CHECKING:
    from fervid.emotions.batching import Batcher, ClassifiedVideo


Key = TypeVar("Key", bound=Hashable)

QUEUE = 8
"""Videos that wait before one scorer; where all scorers have so many, another GPU is taken."""

DEATHS = 3
"""So often in a row may scorers die without having scored anything."""

PATIENCE = 600.0
"""Seconds that scoring may stand still while the cluster has no GPU, or none that is free."""


class ClusterLoader:
    """As BatcherLoader; where the cluster that this process has joined has GPUs, the batcher works on them."""

    def __init__(self, weights: Path, settings: RunSettings, notify: Callable[[str], None]) -> None:
        self._weights, self._settings, self._notify = weights.absolute(), settings, notify
        self._here = BatcherLoader(weights, settings, notify)
        self._there: RemoteBatcher[int] | None = None
        self._known = False

    def start(self) -> None:
        """Begin to load the model here, once it is known that it is needed here."""
        if not self._known and ray.is_initialized():
            self._known = True
            if not self._gpus():
                self._here.start()

    def get(self) -> Batcher[int] | RemoteBatcher[int]:
        """The batcher; raises BadWeights, MissingLibrary and UsageError as loading it does."""
        if self._there is None and self._gpus():
            sha256 = _weights_hashes(self._weights)
            loading = (str(self._weights), sha256, self._settings.batch_size, self._settings.device)
            scorer = ray.remote(num_cpus=0, num_gpus=1, max_restarts=0)(Scorer)  # a node may offer its GPU alone
            self._there = RemoteBatcher(lambda: scorer.remote(*loading), self._gpus, self._notify)
        return self._there or self._here.get()

    def wait(self) -> None:
        """Return when nothing is being loaded here any more."""
        self._here.wait()

    def _gpus(self) -> int:
        return 0 if self._settings.device == "cpu" else int(resource("GPU"))


@dataclass(frozen=True)
class Answer:
    """What a scorer says: videos that are scored, what a person may want to know, and what went wrong."""

    scored: list[Any]
    told: list[str]
    error: FervidError | None = None


def _weights_hashes(weights: Path) -> str:
    """The hashes of all files of the weights, as their sidecar names them."""
    sidecar = read_sidecar(weights)
    return f"{sidecar.weights_sha256} {sidecar.onnx_sha256}"


class Scorer:
    """A process on a GPU node that owns the model and one GPU."""

    def __init__(self, weights: str, sha256: str, batch_size: int, device: Device) -> None:
        self._weights, self._sha256, self._batch_size, self._device = Path(weights), sha256, batch_size, device
        self._batcher: Any = None
        self._told: list[str] = []

    def add(self, key: Hashable, crops: Crops) -> Answer:
        """See ``fervid.classify.Batcher``."""
        return self._answer(lambda: self._loaded().add(key, crops))

    def flush(self) -> Answer:
        """See ``fervid.classify.Batcher``."""
        return self._answer(lambda: self._loaded().flush())

    def _answer(self, ask: Callable[[], Iterator[Any]]) -> Answer:
        try:
            scored, error = list(ask()), None
        except FervidError as found:
            scored, error = [], found
        except Exception as found:
            place = f"scoring on node {os.uname().nodename}"
            scored, error = [], InternalError(f"internal error: {place}: {type(found).__name__}: {found}")
        told, self._told = self._told, []
        return Answer(scored, told, error)

    def _loaded(self) -> Any:
        """The batcher; raises BadWeights where the node's weights are not those of the batch."""
        if self._batcher is None:
            from fervid.emotions.batching import Batcher
            from fervid.emotions.classifier import load_classifier

            node = os.uname().nodename
            if _weights_hashes(self._weights) != self._sha256:
                raise BadWeights(f"{self._weights} on node {node} holds other weights than here")
            model = load_classifier(self._weights, self._device)
            if model.device != "gpu":
                self._told.append(f"node {node} has a GPU that TensorFlow cannot use; its CPU scores")
            self._batcher = Batcher(model, self._batch_size, self._told.append)
        return self._batcher


@dataclass(eq=False)
class _Seat(Generic[Key]):
    """A scorer, what tells that it has begun, the calls that it has not answered, and the videos that it has been
    given and not scored."""

    scorer: Any
    begun: Any
    calls: list[Any] = field(default_factory=list)
    held: dict[Key, Crops] = field(default_factory=dict)


class RemoteBatcher(Generic[Key]):
    """Hands videos to scorers on up to ``limit()`` GPUs; one that dies is replaced, and its videos scored anew.

    ``add`` and ``flush`` yield what is done by then, in no set order. ``start`` makes a scorer. Raises what a
    scorer raises, and WorkerFailed where none can be kept alive.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        limit: Callable[[], int],
        notify: Callable[[str], None],
        patience: float = PATIENCE,
    ) -> None:
        self._start, self._limit, self._notify, self._patience = start, limit, notify, patience
        self._seats = [self._seat()]
        self._deaths = 0
        self._answered = time.monotonic()

    def add(self, key: Key, crops: Crops) -> Iterator[ClassifiedVideo[Key]]:
        """Hand in the crops of one video, which lie in a file."""
        seat = self._least_busy()
        while len(seat.calls) >= QUEUE:
            if len(self._seats) < self._limit():
                self._seats.append(self._seat())
            else:
                yield from self._answers(TICK)
            seat = self._least_busy()
        self._hand_in(seat, key, crops)
        yield from self._answers(0.0)

    def flush(self) -> Iterator[ClassifiedVideo[Key]]:
        """Have all that is left scored."""
        while any(seat.held for seat in self._seats):
            for seat in self._seats:
                if seat.held and not seat.calls:
                    seat.calls.append(seat.scorer.flush.remote())
            yield from self._answers(TICK)

    def _seat(self) -> _Seat[Key]:
        scorer = self._start()
        return _Seat(scorer, scorer.__ray_ready__.remote())

    def _least_busy(self) -> _Seat[Key]:
        return min(self._seats, key=lambda seat: len(seat.calls))

    def _hand_in(self, seat: _Seat[Key], key: Key, crops: Crops) -> None:
        seat.held[key] = crops
        seat.calls.append(seat.scorer.add.remote(key, crops))

    def _answers(self, seconds: float) -> Iterator[ClassifiedVideo[Key]]:
        """What scorers have answered, or answer within so many seconds."""
        asked = {call: seat for seat in self._seats for call in seat.calls}
        if not asked:
            return
        ended = wait_for_result(list(asked), seconds)
        if not ended:
            self._check_progress()
        for call in ended:
            seat = asked[call]
            if call not in seat.calls:  # its scorer was found dead a moment ago
                continue
            try:
                with signals_held():
                    answer: Answer = ray.get(call)
            except RayError as error:
                self._replace(seat, error)
                continue
            seat.calls.remove(call)
            self._answered = time.monotonic()
            for message in answer.told:
                self._notify(message)
            if answer.error is not None:
                raise answer.error
            for scored in answer.scored:
                self._deaths = 0
                del seat.held[scored.key]
                yield scored

    def _check_progress(self) -> None:
        waited = time.monotonic() - self._answered
        if waited <= self._patience:
            return
        if not self._limit():
            raise WorkerFailed(f"the cluster has had no GPU to score on for {waited:.0f} s; run again to go on")
        if not wait_for_result([seat.begun for seat in self._seats], 0.0):
            raise WorkerFailed(f"no GPU of the cluster has been free for {waited:.0f} s; run again to go on")

    def _replace(self, seat: _Seat[Key], error: RayError) -> None:
        """A scorer died, or its node did: another one does what it held."""
        self._deaths += 1
        if self._deaths > DEATHS:
            reason = str(error).strip().splitlines()[0]
            raise WorkerFailed(f"the scoring processes on the cluster's GPUs die: {reason}") from error
        held = dict(seat.held)
        new = self._seat()
        seat.scorer, seat.begun, seat.calls, seat.held = new.scorer, new.begun, [], {}
        for key, crops in held.items():
            self._hand_in(seat, key, crops)
