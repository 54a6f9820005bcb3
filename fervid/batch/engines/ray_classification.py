"""Classifying crops on the GPUs of a Ray cluster. Imported only if the settings choose Ray.

The crops are in files on a path that all nodes share. Only the file names are sent to the nodes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray
from ray.exceptions import RayError

from fervid.batch.engines.base import hold_signals
from fervid.batch.engines.ray_connection import WAIT_SECONDS, cluster_resource, wait_for_result
from fervid.emotions.background_loader import BatcherLoader
from fervid.emotions.sidecar import read_sidecar
from fervid.errors import BadWeights, FervidError, InternalError, WorkerFailed
from fervid.settings import Device, RunSettings
from fervid.types import Crops

if TYPE_CHECKING:
    from fervid.emotions.batching import Batcher, ClassifiedVideo


Key = TypeVar("Key", bound=Hashable)

QUEUE_LENGTH = 8
"""Videos that may wait for one scorer. If all scorers have this many, another GPU is used."""

MAX_DEATHS = 3
"""How many scorers in a row may die without classifying anything."""

GPU_TIMEOUT = 600.0
"""Seconds without progress before the batch ends, if the cluster has no GPU, or no free one."""


class ClusterLoader:
    """Loads the batcher: on the GPUs of the cluster that this process has joined, or on this machine if it has none.

    Args:
        weights: The classifier's weights, on a path that all nodes share.
        settings: Device and batch size.
        on_message: Called with messages for the user.
    """

    def __init__(self, weights: Path, settings: RunSettings, on_message: Callable[[str], None]) -> None:
        self._weights, self._settings, self._on_message = weights.absolute(), settings, on_message
        self._local = BatcherLoader(weights, settings, on_message)
        self._remote: RemoteBatcher[int] | None = None
        self._checked = False

    def start(self) -> None:
        """Start loading the model on this machine, once the cluster is joined and if it has no GPU."""
        if not self._checked and ray.is_initialized():
            self._checked = True
            if not self._gpus():
                self._local.start()

    def get(self) -> Batcher[int] | RemoteBatcher[int]:
        """Get the batcher, after waiting for it to be loaded.

        Returns:
            The batcher.

        Raises:
            BadWeights: The weights cannot be used.
            MissingLibrary: A library is not installed.
            UsageError: The device that the settings choose is not available.
        """
        if self._remote is None and self._gpus():
            sha256 = _weights_hashes(self._weights)
            loading = (str(self._weights), sha256, self._settings.batch_size, self._settings.device)
            scorer = ray.remote(num_cpus=0, num_gpus=1, max_restarts=0)(Scorer)  # a node may offer a GPU and no CPU
            self._remote = RemoteBatcher(lambda: scorer.remote(*loading), self._gpus, self._on_message)
        return self._remote or self._local.get()

    def wait(self) -> None:
        """Wait until nothing is being loaded on this machine any more."""
        self._local.wait()

    def _gpus(self) -> int:
        """How many GPUs of the cluster may be used."""
        return 0 if self._settings.device == "cpu" else int(cluster_resource("GPU"))


@dataclass(frozen=True)
class Answer:
    """The answer of a scorer to one call.

    Attributes:
        classified: The videos that are done by then, as ClassifiedVideo.
        messages: Messages for the user.
        error: What went wrong; None if nothing did.
    """

    classified: list[Any]
    messages: list[str]
    error: FervidError | None = None


def _weights_hashes(weights: Path) -> str:
    """The hashes of all files of the weights, as their sidecar names them."""
    sidecar = read_sidecar(weights)
    return f"{sidecar.weights_sha256} {sidecar.onnx_sha256}"


class Scorer:
    """A process on a GPU node that owns the model and one GPU.

    Args:
        weights: The classifier's weights.
        sha256: Hashes of the weights on the machine that runs the batch.
        batch_size: Faces per batch.
        device: See RunSettings.
    """

    def __init__(self, weights: str, sha256: str, batch_size: int, device: Device) -> None:
        self._weights, self._sha256, self._batch_size, self._device = Path(weights), sha256, batch_size, device
        self._batcher: Any = None
        self._messages: list[str] = []

    def add(self, key: Hashable, crops: Crops) -> Answer:
        """Do what Batcher.add does.

        Args:
            key: Identifies the video.
            crops: Its crops, (n, 48, 48) uint8.

        Returns:
            The answer.
        """
        return self._answer(lambda: self._loaded().add(key, crops))

    def flush(self) -> Answer:
        """Do what Batcher.flush does.

        Returns:
            The answer.
        """
        return self._answer(lambda: self._loaded().flush())

    def _answer(self, call: Callable[[], Iterator[Any]]) -> Answer:
        try:
            classified, error = list(call()), None
        except FervidError as raised:
            classified, error = [], raised
        except Exception as raised:
            place = f"classifying on node {socket.gethostname()}"
            classified, error = [], InternalError(f"internal error: {place}: {type(raised).__name__}: {raised}")
        messages, self._messages = self._messages, []
        return Answer(classified, messages, error)

    def _loaded(self) -> Any:
        """The batcher, loaded on first use. Raises BadWeights if the node's weights are not those of the batch."""
        if self._batcher is None:
            from fervid.emotions.batching import Batcher
            from fervid.emotions.classifier import load_classifier

            node = socket.gethostname()
            if _weights_hashes(self._weights) != self._sha256:
                raise BadWeights(f"{self._weights} on node {node} differs from the file on this machine")
            model = load_classifier(self._weights, self._device)
            if model.device != "gpu":
                self._messages.append(f"TensorFlow cannot use the GPU of node {node}; classifying on its CPU")
            self._batcher = Batcher(model, self._batch_size, self._messages.append)
        return self._batcher


@dataclass(eq=False)
class _Slot(Generic[Key]):
    """A scorer and its work.

    Attributes:
        scorer: Ray's handle to the process.
        started: A call that ends when the process has started.
        calls: Calls that are not answered.
        pending: Videos that were added and are not classified yet.
    """

    scorer: Any
    started: Any
    calls: list[Any] = field(default_factory=list)
    pending: dict[Key, Crops] = field(default_factory=dict)


class RemoteBatcher(Generic[Key]):
    """Classifies crops in scorers on the GPUs of a cluster, with the interface of Batcher.

    A scorer that dies is replaced, and its videos are classified again. ``add`` and ``flush`` yield the videos that are
    done by then, in any order.

    Args:
        start: Starts a scorer and returns Ray's handle to it.
        limit: Gives the largest number of scorers at the moment.
        on_message: Called with messages for the user.
        gpu_timeout: Seconds without progress before the batch ends, if the cluster has no GPU, or no free one.

    Raises:
        WorkerFailed: No scorer can be kept alive. ``add`` and ``flush`` also raise what a scorer raises.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        limit: Callable[[], int],
        on_message: Callable[[str], None],
        gpu_timeout: float = GPU_TIMEOUT,
    ) -> None:
        self._start, self._limit, self._on_message, self._gpu_timeout = start, limit, on_message, gpu_timeout
        self._slots = [self._new_slot()]
        self._deaths = 0
        self._answered = time.monotonic()

    def add(self, key: Key, crops: Crops) -> Iterator[ClassifiedVideo[Key]]:
        """Add a video. Waits while all scorers are busy and no other GPU is free.

        Args:
            key: Identifies the video.
            crops: Its crops, (n, 48, 48) uint8, in a file that all nodes see.

        Yields:
            Videos that are done, in any order.
        """
        slot = self._least_busy()
        while len(slot.calls) >= QUEUE_LENGTH:
            if len(self._slots) < self._limit():
                self._slots.append(self._new_slot())
            else:
                yield from self._answers(WAIT_SECONDS)
            slot = self._least_busy()
        self._hand_in(slot, key, crops)
        yield from self._answers(0.0)

    def flush(self) -> Iterator[ClassifiedVideo[Key]]:
        """Classify everything that is left.

        Yields:
            The remaining videos, in any order.
        """
        while any(slot.pending for slot in self._slots):
            for slot in self._slots:
                if slot.pending and not slot.calls:
                    slot.calls.append(slot.scorer.flush.remote())
            yield from self._answers(WAIT_SECONDS)

    def _new_slot(self) -> _Slot[Key]:
        scorer = self._start()
        return _Slot(scorer, scorer.__ray_ready__.remote())

    def _least_busy(self) -> _Slot[Key]:
        return min(self._slots, key=lambda slot: len(slot.calls))

    def _hand_in(self, slot: _Slot[Key], key: Key, crops: Crops) -> None:
        slot.pending[key] = crops
        slot.calls.append(slot.scorer.add.remote(key, crops))

    def _answers(self, seconds: float) -> Iterator[ClassifiedVideo[Key]]:
        """The videos of all answers that have arrived or arrive within ``seconds``."""
        slots = {call: slot for slot in self._slots for call in slot.calls}
        if not slots:
            return
        ended = wait_for_result(list(slots), seconds)
        if not ended:
            self._check_progress()
        for call in ended:
            slot = slots[call]
            if call not in slot.calls:  # its scorer died and was replaced
                continue
            try:
                with hold_signals():
                    answer: Answer = ray.get(call)
            except RayError as error:
                self._replace(slot, error)
                continue
            slot.calls.remove(call)
            self._answered = time.monotonic()
            for message in answer.messages:
                self._on_message(message)
            if answer.error is not None:
                raise answer.error
            for classified in answer.classified:
                self._deaths = 0
                del slot.pending[classified.key]
                yield classified

    def _check_progress(self) -> None:
        """Raise WorkerFailed if the cluster has had no GPU, or no free one, for too long."""
        waited = time.monotonic() - self._answered
        if waited <= self._gpu_timeout:
            return
        if not self._limit():
            raise WorkerFailed(f"the cluster has had no GPU for {waited:.0f} s; run again to continue")
        if not wait_for_result([slot.started for slot in self._slots], 0.0):
            raise WorkerFailed(f"no GPU of the cluster has been free for {waited:.0f} s; run again to continue")

    def _replace(self, slot: _Slot[Key], error: RayError) -> None:
        """Replace a scorer that died, perhaps with its node, and add its videos again."""
        self._deaths += 1
        if self._deaths > MAX_DEATHS:
            reason = str(error).strip().splitlines()[0]
            raise WorkerFailed(f"the processes on the GPUs of the cluster die: {reason}") from error
        pending = dict(slot.pending)
        new = self._new_slot()
        slot.scorer, slot.started, slot.calls, slot.pending = new.scorer, new.started, [], {}
        for key, crops in pending.items():
            self._hand_in(slot, key, crops)
