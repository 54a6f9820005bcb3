"""The Ray engine on a real cluster of several nodes on this machine: equal tables, and nodes or workers that die."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fervid
from fervid.batch.report import BatchReport
from fervid.batch.run import analyze as run_batch
from fervid.batch.tasks import ScanJob, ScanTask
from fervid.batch.worker import scan_or_divide
from fervid.errors import UsageError, WorkerFailed
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings
from fervid.types import Progress
from tests.support import hostile_workers
from tests.support.clips import at_rate, encode, face_clip, numbered, write_clip
from tests.support.comparison import assert_identical
from tests.support.paths import LONG_AGO, ROOT, SAMPLES
from tests.support.processes import PATIENCE, is_alive, wait_for
from tests.support.replay import replaying

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'fervid[ray]'")

from ray.cluster_utils import Cluster  # noqa: E402

from fervid.batch.engines.ray_classification import Answer, RemoteBatcher  # noqa: E402
from fervid.batch.engines.ray_engine import RayEngine, _with_absolute_paths  # noqa: E402

SCAN = ScanSettings(fps=2)
FAST = AnalyzeSettings(scan=SCAN)

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with one CPU each. This process stays connected, so that the nodes load the libraries only once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the nodes import functions of this module
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        found = Cluster(initialize_head=True, head_node_args=NODE)
        try:
            found.add_node(**NODE)
            ray.init(found.address, log_to_driver=False, logging_level="CRITICAL")
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with and without faces, and a file that is not a video."""
    root = tmp_path_factory.mktemp("videos")
    shutil.copy(SAMPLES / "cut.mp4", root)
    for name, count in (("a face", 8), ("same face", 9)):
        face_clip(root / f"{name}.mp4", at_rate(4, count))
    write_clip(root / "numbers.mp4", at_rate(25, 50))
    (root / "broken.mp4").write_text("this is no video")
    for path in root.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))  # recently modified files would be read again
    return root


@pytest.fixture(scope="module")
def plain(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the same videos, scanned in this process."""
    out = tmp_path_factory.mktemp("plain") / "r.parquet"
    with replaying():
        fervid.analyze(videos, out, FAST)
    return out


# errors of joining: these tests come before the cluster fixture connects this process


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("127.0.0.1:1", WorkerFailed, "no Ray cluster answers at 127.0.0.1:1"),
        ("ray://127.0.0.1:10001", UsageError, "run fervid on a node of the cluster"),
        ("somewhere", UsageError, "give host:port"),
    ],
)
def test_a_cluster_that_cannot_be_reached(address: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST, engine=RayEngine(address))
    assert not ray.is_initialized()


def test_another_kind_of_server_is_reported_at_once(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        engine = RayEngine(f"127.0.0.1:{server.server_port}")
        with pytest.raises(WorkerFailed, match="the server there is not Ray"):
            fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST, engine=engine)
        thread.join()
    assert not ray.is_initialized()


def test_the_detectors_weights_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _with_absolute_paths(ScanSettings(detector_weights="net.onnx")).detector_weights == str(
        tmp_path / "net.onnx"
    )
    assert _with_absolute_paths(ScanSettings()) == ScanSettings()


def test_a_run_with_nothing_to_do_joins_no_cluster(plain: Path, videos: Path) -> None:
    again = fervid.analyze(videos, plain, FAST, engine=RayEngine("127.0.0.1:1"))
    assert (again.count("ok"), again.count("ok", fresh=True)) == (3, 0)


# the same results


def test_the_tables_are_those_of_one_process(cluster: Any, videos: Path, plain: Path, tmp_path: Path) -> None:
    report = fervid.analyze(videos, tmp_path / "r.parquet", FAST, engine=RayEngine(cluster.address))
    assert [report.count(status) for status in ("ok", "no_face", "failed")] == [3, 1, 1]
    assert_identical(read_results(plain), read_results(tmp_path / "r.parquet"))
    assert ray.is_initialized()  # a connection that was open before stays open


@pytest.mark.slow
def test_real_clips_too(cluster: Any, shared_media: Path, tmp_path: Path) -> None:
    clips = [shared_media / name for name in ("d19_vp9_opus.webm", "emo7_happy.mp4", "d9_vfr.mp4", "no_face.mp4")]
    for name, engine in {"local": None, "ray": RayEngine(cluster.address)}.items():
        fervid.analyze(clips, tmp_path / f"{name}.parquet", FAST, engine=engine)
    assert_identical(read_results(tmp_path / "local.parquet"), read_results(tmp_path / "ray.parquet"))


@pytest.mark.slow
def test_a_long_video_is_divided_over_the_nodes(cluster: Any, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", numbered(300), options={"g": "25"})
    found = []
    for name, seconds in {"whole": 0.0, "divided": 3.0}.items():
        engine = RayEngine(cluster.address, work=scan_noting_node, segment_seconds=seconds)
        fervid.analyze(clip, tmp_path / f"{name}.parquet", FAST, engine=engine)
        found.append((read_results(tmp_path / f"{name}.parquet"), len(nodes_of(tmp_path))))
    assert_identical(found[0][0], found[1][0])
    assert found[0][1] == 1
    assert found[1][1] == 1 + 1 + 3 + 1  # undivided scan; then dividing, three segments, joining


# failures of a scan


def scan_noting_node(task: ScanTask, job: ScanJob) -> Any:
    """Write the id of the node to a file beside the video, then scan the video."""
    with task.path.with_suffix(".nodes").open("a") as file:
        file.write(ray.get_runtime_context().get_node_id() + "\n")
    return scan_or_divide(task, job)


def scan_after_signal(task: ScanTask, job: ScanJob) -> Any:
    """Like ``scan_noting_node``, but scan only once a file ``go`` is beside the video."""
    node = ray.get_runtime_context().get_node_id()
    task.path.with_name(f"{os.getpid()}.{node}.process").touch()
    with task.path.with_suffix(".nodes").open("a") as file:
        file.write(node + "\n")
    wait_for(task.path.with_name("go").exists, "the file `go` never appears")
    return scan_or_divide(task, job)


def nodes_of(videos: Path) -> list[str]:
    return [node for path in videos.glob("*.nodes") for node in path.read_text().split()]


@pytest.mark.slow
def test_a_killed_node_does_not_change_the_tables(cluster: Any, videos: Path, plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(videos, tmp_path / "videos")
    doomed = cluster.add_node(**NODE)

    def kill() -> None:
        wait_for(lambda: doomed.node_id in nodes_of(folder), "the node is given nothing to do")
        cluster.remove_node(doomed, allow_graceful=False)
        processes = [int(path.name.split(".")[0]) for path in folder.glob(f"*.{doomed.node_id}.process")]
        wait_for(lambda: not any(map(is_alive, processes)), "the node's workers outlive it")
        (folder / "go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    fervid.analyze(folder, tmp_path / "r.parquet", FAST, engine=RayEngine(cluster.address, work=scan_after_signal))
    killer.join()
    assert_identical(read_results(plain), read_results(tmp_path / "r.parquet"))
    attempts = nodes_of(folder)
    assert attempts.count(doomed.node_id) == 1
    assert len(attempts) == 5 + 1  # five inputs, one of them twice


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return hostile_workers.write_clips(tmp_path / "root")


@pytest.mark.slow
def test_each_costs_exactly_its_own_file(cluster: Any, root: Path, tmp_path: Path) -> None:
    engine = RayEngine(cluster.address, timeout=25, memory=2 << 30, work=hostile_workers.scan)
    hostile_workers.assert_each_costs_its_own_file(engine, root, tmp_path / "r.parquet", timeout=25)


SCRIPT = """
import sys
import fervid.batch.plan, fervid.cli.main
from fervid.batch.engines.ray_engine import RayEngine
from tests.support import hostile_workers
address = sys.argv.pop()
fervid.batch.plan.BatchSetup.engine = lambda self: RayEngine(address, work=hostile_workers.scan)
sys.argv = ["fervid", "analyze", *sys.argv[1:], "--fps", "2", "--quiet"]
fervid.cli.main.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_leaves_nothing_running(cluster: Any, root: Path, tmp_path: Path, number: signal.Signals) -> None:
    out, noted = tmp_path / "r.parquet", root / "stuck.attempts"
    line = [sys.executable, "-c", SCRIPT, str(root / "a good one.mp4"), str(root / "stuck.mp4"), "--out", str(out)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*line, cluster.address], stdout=pipe, stderr=pipe, text=True, cwd=ROOT, start_new_session=True
    )
    parts = tmp_path / ".r.parquet.fervid"
    wait_for(lambda: process.poll() is not None or (noted.exists() and bool(noted.read_text())), "it does not begin")
    os.killpg(process.pid, number)
    printed, said = process.communicate(timeout=PATIENCE)
    if number != signal.SIGKILL:
        interrupted = "fervid: interrupted; run the same command again to continue\n"
        assert (process.returncode, printed, said) == (130, "", interrupted)
        assert not list((parts / "scratch").glob("*"))
    worker = Path("/proc") / noted.read_text().split()[0]
    wait_for(lambda: not worker.exists() or "Z" in (worker / "stat").read_text().rpartition(")")[2], "it runs on")
    engine = RayEngine(cluster.address)
    report = fervid.analyze([root / "a good one.mp4", root / "stuck.mp4"], out, FAST, engine=engine)
    assert report.count("ok") == 2
    if number == signal.SIGKILL:
        fervid.analyze([root / "a good one.mp4", root / "stuck.mp4"], tmp_path / "whole.parquet", FAST)
        assert_identical(read_results(out), read_results(tmp_path / "whole.parquet"))


@pytest.mark.slow
def test_ray_prints_nothing_itself(cluster: Any, root: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-c", SCRIPT, str(root / "a good one.mp4"), str(root / "killed.mp4")]
    line += ["--out", str(tmp_path / "r.parquet"), cluster.address]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    assert done.stdout == ""
    assert [row.split(":")[0] for row in done.stderr.splitlines()] == ["failed"]


# nodes that fail the check


@contextlib.contextmanager
def foreign_node(cluster: Any, mount: str, *arguments: Path) -> Iterator[None]:
    """A third node, in its own mount namespace with other mounts."""
    enter = ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare --mount")
    begin = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=1"]
    begin += ["--block", f"--object-store-memory={80 << 20}", "--disable-usage-stats"]
    shell = ["sh", "-c", f'{mount} && shift {len(arguments)} && exec "$@"', "sh", *map(str, arguments)]
    nowhere = subprocess.DEVNULL
    node = subprocess.Popen([*enter, *shell, *begin], stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        wait_for(lambda: node.poll() is not None or alive(cluster) == 3, "the node does not come")
        assert node.poll() is None
        yield
    finally:
        node.terminate()
        node.wait()
        wait_for(lambda: alive(cluster) == 2, "the node stays")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "said"),
    [
        ({"version.py": "__version__ = '0.0'\n", "__init__.py": ""}, "has fervid 0.0; install fervid"),
        ({"__init__.py": "raise ImportError('not here')\n"}, "has no fervid; install fervid"),
    ],
    ids=["other version", "missing"],
)
def test_a_node_with_another_version_is_reported(
    cluster: Any, tmp_path: Path, package: dict[str, str], said: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, text in package.items():
        (other / name).write_text(text)
    with foreign_node(cluster, 'mount --bind "$1" "$2"', other, ROOT / "fervid"), pytest.raises(UsageError, match=said):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST, engine=RayEngine(cluster.address))


@pytest.mark.slow
def test_a_node_with_another_face_embedder_is_reported(cluster: Any, tmp_path: Path) -> None:
    other = shutil.copytree(ROOT / "fervid", tmp_path / "other")
    with (other / "faces" / "embedding.py").open("a") as file:
        file.write("\n\ndescribe_embedder = lambda: ('another', 'ab')\n")
    said = "uses face embedder 'another', this machine uses"
    with foreign_node(cluster, 'mount --bind "$1" "$2"', other, ROOT / "fervid"), pytest.raises(UsageError, match=said):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST, engine=RayEngine(cluster.address))


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["out", "root"])
def test_a_node_without_the_shared_folders_is_reported(cluster: Any, root: Path, tmp_path: Path, hidden: str) -> None:
    out, said = tmp_path / "out", r"node \S+ cannot see .*inputs and output must be on a path"
    out.mkdir()
    engine = RayEngine(cluster.address, work=scan_after_signal)  # nodes that see the input wait forever
    with foreign_node(cluster, 'mount -t tmpfs none "$1"', tmp_path / hidden), pytest.raises(UsageError, match=said):
        fervid.analyze(root, out / "r.parquet", FAST, engine=engine)


def alive(cluster: Any) -> int:
    """How many nodes the cluster has."""
    return sum(node["Alive"] for node in cluster.global_state.node_table())


def analyze_with_gpu(cluster: Any, videos: Path, out: Path, device: str) -> tuple[BatchReport, list[str]]:
    run = RunSettings(engine="ray", address=cluster.address, device=device)  # type: ignore[arg-type]
    messages: list[str] = []

    def keep(progress: Progress) -> None:
        if progress.message and progress.outcome is None:
            messages.append(progress.message)

    return run_batch(videos, out, AnalyzeSettings(scan=SCAN, run=run), keep), messages


@pytest.mark.parametrize("workers", [0, 2])
def test_waiting_for_a_cluster_without_cpus_ends(
    cluster: Any, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fervid.batch.engines.ray_engine.cluster_resource", lambda name: 0.0)
    engine = RayEngine(cluster.address, workers, cpu_timeout=-1)
    with pytest.raises(WorkerFailed, match="no node of the cluster has offered a CPU"):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST, engine=engine)


def test_waiting_for_a_gpu_that_is_never_free_ends(cluster: Any) -> None:
    scorer = ray.remote(num_cpus=0, num_gpus=1)(Mortal)
    batcher = RemoteBatcher[int](lambda: scorer.remote("", 0), lambda: 1, lambda _: None, gpu_timeout=0.2)
    crops: Any = range(3)
    assert list(batcher.add(0, crops)) == []
    with pytest.raises(WorkerFailed, match="no GPU of the cluster has been free"):
        list(batcher.flush())


@pytest.mark.slow
def test_scoring_goes_to_the_nodes_with_gpus(cluster: Any, videos: Path, plain: Path, tmp_path: Path) -> None:
    """The node claims a GPU that TensorFlow does not find, and the scorer reports it."""
    node = cluster.add_node(**NODE | {"num_cpus": 0}, num_gpus=1)
    try:
        report, said = analyze_with_gpu(cluster, videos, tmp_path / "r.parquet", "auto")
    finally:
        cluster.remove_node(node, allow_graceful=False)
    assert report.count("ok") == 3
    assert len(said) == 1
    assert "TensorFlow cannot use the GPU of node" in said[0]
    assert_identical(read_results(plain), read_results(tmp_path / "r.parquet"))


class Mortal:
    """A scorer whose process ends during its first calls. The file ``lives`` has a line for each process."""

    def __init__(self, lives: str, deaths: int) -> None:
        with open(lives, "a") as file:
            file.write("x\n")
        with open(lives) as file:
            self._doomed = len(file.readlines()) <= deaths
        self._held: list[int] = []

    def add(self, key: int, crops: Any) -> Answer:
        if self._doomed and len(self._held) == 2:
            os._exit(1)
        self._held.append(key)
        return Answer([], [f"added {key}"])

    def flush(self) -> Answer:
        from fervid.emotions.batching import ClassifiedVideo

        held, self._held = self._held, []
        return Answer([ClassifiedVideo(key, None, 0.0) for key in held], [])  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [1, 9])
def test_a_scorer_that_dies_is_replaced(cluster: Any, tmp_path: Path, deaths: int) -> None:
    scorer = ray.remote(num_cpus=0, max_restarts=0)(Mortal)
    batcher = RemoteBatcher[int](lambda: scorer.remote(str(tmp_path / "lives"), deaths), lambda: 1, lambda _: None)
    crops: Any = range(3)

    def score(keys: Iterable[int]) -> list[int]:
        found = [scored.key for key in keys for scored in batcher.add(key, crops)]
        return found + [scored.key for scored in batcher.flush()]

    if deaths > 3:
        with pytest.raises(WorkerFailed, match="the processes on the GPUs of the cluster die"):
            score(range(20))
    else:
        assert sorted(score(range(20))) == list(range(20))
        assert len((tmp_path / "lives").read_text().split()) == deaths + 1


@pytest.mark.slow
def test_a_cluster_for_one_run(plain: Path, tmp_path: Path) -> None:
    """``--address local`` starts a cluster and ends it, and prints nothing."""
    line = [sys.executable, "-m", "fervid", "analyze", str(SAMPLES / "cut.mp4"), "--out", "r.parquet", "--fps", "2"]
    (tmp_path / "home").mkdir()
    short = Path(tempfile.mkdtemp())  # sockets are created there; their paths must be short
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home"), "RAY_TMPDIR": str(short)}
    done = subprocess.run(
        [*line, "--engine", "ray", "--address", "local", "--quiet"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "home").iterdir()) == []  # not even a token of Ray
    assert not list((short / "ray").glob("session_2*"))
    shutil.rmtree(short)
    whole, single = read_results(plain), read_results(tmp_path / "r.parquet")
    part = whole.timeline[whole.timeline["video"] == "cut.mp4"]
    assert part["happy"].tolist() == single.timeline["happy"].tolist()


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "jobs" / "ray-cluster.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["max_workers"] == len(config["provider"]["worker_ips"])
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("--disable-usage-stats" in command for command in starts if "--head" in command)
