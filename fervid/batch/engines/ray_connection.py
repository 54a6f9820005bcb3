"""Connecting to a Ray cluster, and checking its nodes. Imported only if the settings choose Ray."""

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

from fervid.batch.engines.base import hold_signals, restore_environment
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
    raise MissingLibrary("`engine` ray needs Ray: pip install 'fervid[ray]'") from error

CONNECT_TIMEOUT = 10.0
"""Seconds in which the head of the cluster must accept a connection."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""What an HTTP/2 client sends first: the connection preface and an empty SETTINGS frame (RFC 9113, section 3.4)."""

PROBE_TIMEOUT = 60.0
"""Seconds in which a node must answer the check. A slower node is checked by its first task."""

WAIT_SECONDS = 0.5
"""Longest single wait for Ray, in seconds. Signals are handled between waits."""

OBJECT_STORE_BYTES = 200 << 20
"""Shared memory of a cluster that is started for one run. Only small results go through it."""

SHARED = "inputs and output must be on a path that all nodes share"


class Connection:
    """A connection to a Ray cluster, open until ``close``. If the process is connected already, that is used.

    Args:
        address: ``host:port`` of the head of the cluster; ``auto``: the cluster that RAY_ADDRESS names, or that this
            machine is a node of; ``local``: a new cluster on this machine, which ends with the connection.

    Raises:
        UsageError: ``address`` is not valid.
        WorkerFailed: No Ray cluster answers.
    """

    def __init__(self, address: str) -> None:
        self._opened = not ray.is_initialized()
        self._started_cluster = self._opened and address == "local"
        if self._opened:
            _connect(address)
            self._print = _silence_ray()

    def close(self) -> None:
        """Leave the cluster and end all work of this process there. A connection that was open before stays open."""
        if self._opened and ray.is_initialized():
            folder = Path(ray._private.worker._global_node.get_session_dir_path()) if self._started_cluster else None
            with hold_signals(), _signal_handlers_kept():
                ray.shutdown()
            if folder is not None:  # the logs of the cluster that was started for this run
                shutil.rmtree(folder, ignore_errors=True)
            ray._private.worker.print_to_stdstream = self._print


def _connect(address: str) -> None:
    """Join the cluster, or start one."""
    place = os.environ.get("RAY_ADDRESS") or "auto" if address == "auto" else address
    if place.startswith("ray://"):
        raise UsageError(f"{place}: run fervid on a node of the cluster and give host:port; ray:// is not supported")
    if place not in ("auto", "local"):
        _check_server(place)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here would send usage statistics
    here: dict[str, Any] = {
        "num_cpus": usable_cores(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    options = here if place == "local" else {}
    with hold_signals(), _signal_handlers_kept(), _token(place):
        try:
            ray.init(address=place, log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError, RayError) as error:
            ray.shutdown()
            if place == "auto" and isinstance(error, ConnectionError):
                raise WorkerFailed(
                    "no Ray cluster runs on this machine; `address` names its head as host:port, or is local, which"
                    " starts a cluster on this machine for this run"
                ) from error
            reason = str(error).strip().splitlines()[0]
            raise WorkerFailed(f"cannot join the Ray cluster at {place!r}: {reason}") from error
        except BaseException:
            ray.shutdown()
            raise


@contextlib.contextmanager
def _token(place: str) -> Iterator[None]:
    """Set Ray's authentication token while a cluster is joined: the user's token, if there is one, as the nodes use it
    too. A cluster that is started for this run gets a new token; otherwise Ray would write one to the home folder."""
    with restore_environment("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        if "RAY_AUTH_MODE" not in os.environ and place == "local":
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        elif "RAY_AUTH_MODE" not in os.environ and _has_token():
            os.environ["RAY_AUTH_MODE"] = "token"
            with contextlib.suppress(AttributeError):  # Ray versions without tokens
                ray._raylet.Config.initialize("")  # it read the environment when Ray was imported
        yield


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path("~/.ray/auth_token").expanduser()
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or os.path.exists(named)


def _check_server(address: str) -> None:
    """Check that an HTTP/2 server answers, as Ray's does. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"not the address of a Ray cluster: {address!r}; give host:port, auto or local")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT) as connection:
            connection.sendall(HTTP2_PREFACE)
            answer = connection.recv(9)  # the header of a SETTINGS frame, unless TLS is used
        if answer[3:4] != b"\x04" and os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            raise WorkerFailed(f"no Ray cluster answers at {address}: the server there is not Ray")
    except (OSError, OverflowError) as error:
        raise WorkerFailed(f"no Ray cluster answers at {address}: {error}") from error


def _silence_ray() -> Callable[..., None]:
    """Stop Ray from printing worker and node failures to stdout. fervid reports them, and Ray has no option for this.

    Returns Ray's printing function, so that it can be restored.
    """
    print_function: Callable[..., None] = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = lambda *arguments, **options: None
    return print_function


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces, and pass on a SIGTERM that Ray handled in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    terminated = False
    try:
        yield
    except SystemExit as stop:
        terminated = stop.code == signal.SIGTERM
        if not terminated:
            raise
    finally:
        signal.signal(signal.SIGTERM, handler)
    if terminated:
        signal.raise_signal(signal.SIGTERM)


def cluster_resource(name: str) -> float:
    """Look up how much of a resource the cluster has, in use or not.

    Args:
        name: ``CPU`` or ``GPU``.

    Returns:
        The number of units.
    """
    return float(ray.cluster_resources().get(name, 0))


def living_nodes() -> dict[str, str]:
    """List the nodes that are alive.

    Returns:
        Node id → host name.
    """
    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


def check_nodes(scratch: Path) -> None:
    """Check that every node has this version of fervid, the same face embedder, and access to the output.

    Args:
        scratch: The batch's scratch folder, which nodes must be able to write to.

    Raises:
        UsageError: A node fails the check; the message says what to change there.
        OutputError: ``scratch`` cannot be written.
    """
    token = uuid.uuid4().hex
    witness = scratch / "witness"  # a node sees the folder if it reads the token there
    with writing(witness):
        witness.write_text(token, encoding="utf-8")
    working = [node for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} & node["Resources"].keys()]
    probe = ray.remote(num_cpus=0, max_retries=0)(_create_probe())
    question = (str(witness), token, __version__, describe_embedder(), SHARED)
    asked = {}
    for node in working:
        on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[probe.options(scheduling_strategy=on_node).remote(*question)] = node
    answered, late = _wait_for_all(list(asked), PROBE_TIMEOUT)
    for ref in answered:
        with contextlib.suppress(RayError):  # the node may have died meanwhile
            fault = ray.get(ref)
            if fault:
                raise UsageError(f"node {asked[ref]['NodeManagerHostname']} {fault}")
    for ref in late:
        ray.cancel(ref, force=True)


def wait_for_result(refs: list[Any], seconds: float) -> list[Any]:
    """Wait for calls to end. Signals are handled after the wait, because an exception inside Ray breaks it.

    Args:
        refs: Ray's references to the calls.
        seconds: Longest time to wait.

    Returns:
        The calls that have ended; none if the time ran out.
    """
    with hold_signals():
        ended, _ = ray.wait(refs, num_returns=1, timeout=seconds)
        return list(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if ended else []


def _wait_for_all(refs: list[Any], seconds: float) -> tuple[list[Any], list[Any]]:
    """Split calls into those that end within the time and the others."""
    ended: list[Any] = []
    deadline = time.monotonic() + seconds
    while len(ended) < len(refs) and time.monotonic() < deadline:
        ended += wait_for_result([ref for ref in refs if ref not in ended], WAIT_SECONDS)
    return ended, [ref for ref in refs if ref not in ended]


def _create_probe() -> Callable[[str, str, str, tuple[str, str], str], str]:
    """Create the function that checks a node. Ray sends it by value, so it runs even if fervid is missing there."""

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
            return f"uses face embedder {other!r}, this machine uses {here!r}; install the same fervid on both"
        folder = os.path.dirname(witness)
        for _ in range(50):  # a network file system may show new files late
            try:
                with open(witness, encoding="utf-8") as file:
                    if file.read() == token:
                        break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            return f"cannot see this machine's {folder!r}; {shared}"
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"has no permission to write to {folder!r}"

    return probe
