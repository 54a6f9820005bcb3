"""The review server: who may ask, what it answers, and what it saves."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.files.fingerprint import fingerprint
from fervid.results.correct import correct
from fervid.results.corrections import read_corrections
from fervid.results.live import LiveResults
from fervid.results.reader import read_results
from fervid.review.guard import HEADERS
from fervid.review.moments import doubtful_moments
from fervid.types import TWO_PEOPLE, Doubt
from tests.support.command import command
from tests.support.corrected import write_corrections
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks
from tests.support.processes import wait_for
from tests.support.review_server import TOKEN, Served, review_process, reviewing
from tests.support.synthetic_results import EVERYTHING, NASTY, write_results

CLIPS = {
    "a.mp4": MadeClip(
        [MadePerson(1, [range(50)], 0, 0), MadePerson(2, [range(60)], 1, 1), MadePerson(3, [range(50, 100)], 2, 2)],
        doubts=(Doubt(0, 4.0, 5.0, TWO_PEOPLE), Doubt(2, 10.0, 19.8, "never moves")),
    ),
    "b.mp4": MadeClip([MadePerson(4, [range(100)], 0, 0)]),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("review") / "r.parquet", CLIPS)


@pytest.fixture
def served(results: Path, tmp_path: Path) -> Iterator[Served]:
    with reviewing(results, corrections=tmp_path / "c.csv") as server:
        yield server


# who may ask


@pytest.mark.parametrize("path", ["/", "/api/overview", "/wrong/", "/wrong/api/overview", f"/{TOKEN}x/", f"//{TOKEN}/"])
def test_without_the_token_nothing_is_answered(served: Served, path: str) -> None:
    assert served.ask(path).status == 403
    assert served.ask(path, b"{}").status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "", "[::1]"])
def test_a_foreign_host_is_refused(served: Served, host: str) -> None:
    assert served.get("api/overview", Host=host).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9000", "127.0.0.1:1"])
def test_every_port_is_accepted_because_tunnels_have_their_own(served: Served, host: str) -> None:
    assert served.get("api/overview", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(served: Served, origin: str) -> None:
    origin = origin.format(port=served.port)
    assert served.get("api/overview", Origin=origin).status == 403
    assert served.ask(f"/{TOKEN}/api/video/0/undo", b"{}", Origin=origin, If_Match="x").status == 403


def test_another_site_is_refused_and_the_own_page_is_not(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    assert served.get("api/overview", Origin=own, Sec_Fetch_Site="same-origin").status == 200
    assert served.get("api/overview", Sec_Fetch_Site="cross-site").status == 403
    assert served.get("api/overview", Sec_Fetch_Site="same-site").status == 403


@pytest.mark.parametrize(
    "path",
    [
        "assets/../app.py", "assets/..%2fapp.py", "assets/%2e%2e/app.py", "assets/..", "assets/", "assets/none.js",
        "../../etc/passwd", "media/../../etc/passwd", "media/..%2f..%2fetc%2fpasswd", "media/-1", "media/99", "media/x",
        "video/../app.py", "api/video/99", "api/nothing", "assets/%00.js",
    ],
)  # fmt: skip
def test_paths_that_are_not_there_are_not_found(served: Served, path: str) -> None:
    assert served.get(path).status == 404


@pytest.mark.parametrize("path", ["", "video/0", "assets/page.css", "assets/index.js", "api/overview", "media/0"])
def test_every_answer_has_the_security_headers(served: Served, path: str) -> None:
    answer = served.get(path)
    assert {name: answer.headers.get(name.lower()) for name in HEADERS} == HEADERS
    assert "'unsafe" not in answer.headers["content-security-policy"]


def test_it_listens_on_this_machine_only(results: Path, tmp_path: Path) -> None:
    with review_process(tmp_path, results, "--corrections", tmp_path / "c.csv") as (server, process):
        assert server.get("api/overview").status == 200
        tables = [Path(f"/proc/{process.pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6")]
        entry = f":{server.port:04X} "
        addresses = [
            line.split()[1] for text in tables for line in text.splitlines() if entry in line and " 0A " in line
        ]
        assert addresses == [f"0100007F:{server.port:04X}"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert (tmp_path / "printed.txt").read_text().splitlines()[-1].startswith("stopped")


def test_a_port_in_use_is_refused_in_one_line(results: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = command("review", results, "--no-browser", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# what it answers


def test_the_overview_lists_every_video_and_what_is_doubtful_first(served: Served) -> None:
    told = served.get("api/overview").values
    assert [one["video"] for one in told["videos"]] == ["a.mp4", "b.mp4"]
    assert [(one["face"], one["reason"], one["rank"]) for one in told["lists"][0]["moments"]] == [
        (0, TWO_PEOPLE, 0),
        (2, "never moves", 1),
    ]
    assert told["lists"][0]["moments"][0]["start"] == 4.0


def test_a_video_is_described_with_everything_that_is_drawn(served: Served, results: Path) -> None:
    told, tables = served.get("api/video/0").values, read_results(results)
    assert [lane["faces"] for lane in told["lanes"]] == [[0], [1], [2]]
    for face in told["faces"]:
        rows = tables.timeline[(tables.timeline["video"] == "a.mp4") & (tables.timeline["face_id"] == face["id"])]
        np.testing.assert_allclose(face["times"], rows["time"])
        boxes = rows[["face_x", "face_y", "face_width", "face_height"]].to_numpy()
        np.testing.assert_allclose(np.reshape(face["boxes"], (-1, 4)), boxes, atol=0.01)
        np.testing.assert_allclose(np.reshape(face["raw"], (-1, 7))[:, 3], rows["happy"], atol=1e-4)
        np.testing.assert_allclose(np.reshape(face["smooth"], (-1, 7))[:, 3], rows["happy_smooth"], atol=1e-4)
    assert len(told["episodes"]) == int((tables.episodes["video"] == "a.mp4").sum())


def test_the_source_is_sent_in_ranges(tmp_path: Path) -> None:
    results, videos = real_source(tmp_path, "a.mp4")
    with reviewing(results, videos) as server:
        whole = (videos / "a.mp4").read_bytes()
        assert server.get("media/0").body == whole
        part = server.get("media/0", Range="bytes=10-19")
        assert (part.status, part.body, part.headers["content-range"]) == (
            206,
            whole[10:20],
            f"bytes 10-19/{len(whole)}",
        )


def test_a_source_that_has_changed_is_not_sent(tmp_path: Path) -> None:
    results, videos = real_source(tmp_path, "a.mp4")
    with reviewing(results, videos) as server:
        assert server.get("media/0").status == 200
        (videos / "a.mp4").write_bytes(b"another content")
        answer = server.get("media/0")
        assert answer.status == 404
        assert "changed since the analysis" in answer.values["error"]


def real_source(folder: Path, name: str) -> tuple[Path, Path]:
    """Results that name a file ``inside`` a folder with its fingerprint, and that folder."""
    videos = folder / "videos"
    videos.mkdir(exist_ok=True)
    content = videos / "a.mp4"
    content.write_bytes(bytes(range(256)) * 40)
    results = write_tracks(folder / "r.parquet", {name: MadeClip([MadePerson(1, [range(50)], 0, 0)])})
    found = fingerprint(content)
    read = pq.read_table(results)
    before = read["video_id"][0].as_py()
    column = read.schema.get_field_index("video_id")
    ids = pa.array([found] * len(read), pa.string())
    pq.write_table(read.set_column(column, "video_id", ids), results)
    for path in folder.glob("r.*.csv"):
        path.write_text(path.read_text().replace(before, found))
    return results, videos


# hostile results


@pytest.mark.parametrize("name", ["../secret.mp4", "{secret}", "x/../../secret.mp4", "..", "a/\x00b"])
def test_no_file_outside_the_folder_is_sent(tmp_path: Path, name: str) -> None:
    results, videos = real_source(tmp_path, name.format(secret=tmp_path / "secret.mp4"))
    (tmp_path / "secret.mp4").write_bytes((videos / "a.mp4").read_bytes())  # the right content, but outside
    (videos / "a.mp4").unlink()
    with reviewing(results, videos) as server:
        assert server.get("media/0").status == 404


def test_names_that_would_do_harm_as_html_are_only_text(tmp_path: Path) -> None:
    results = write_results(tmp_path / "r.parquet", EVERYTHING)
    with reviewing(results) as server:
        told = server.get("api/overview")
        assert told.headers["content-type"] == "application/json"
        assert NASTY in {one["video"] for one in told.values["videos"]}
        for page in ("", "video/0"):
            assert b"alert" not in server.get(page).body


def test_boxes_of_nan_do_not_break_the_answer(tmp_path: Path) -> None:
    results = write_tracks(tmp_path / "r.parquet", CLIPS)
    table = pq.read_table(results)
    for name in ("face_x", "face_width"):
        column = table.schema.get_field_index(name)
        values = [None if value is None else float("nan") for value in table[name].to_pylist()]
        table = table.set_column(column, table.schema.field(column), pa.array(values, pa.float32()))
    pq.write_table(table, results)
    with reviewing(results) as server:
        assert server.get("api/overview").values["notes"]
        assert b"NaN" not in server.get("api/video/0").body


def test_a_video_of_very_many_faces_is_refused_in_words(
    served: Served, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fervid.review.session.MAX_FACES", 2)
    told = served.get("api/video/0").values
    assert told["problem"] == "this video has 3 faces; at most 2 can be shown"
    assert "faces" not in told
    assert {one["video"] for one in served.get("api/overview").values["lists"][0]["moments"]} <= {"b.mp4"}
    assert served.get("api/video/0/source").values["state"] == "failed"
    assert served.get("api/video/0/sheet").status == 404


# what it saves


def test_a_correction_is_saved_and_shown_at_once(served: Served, results: Path, tmp_path: Path) -> None:
    answer = served.change(0, "name", served.version(0), face_id="0", value="Ann")
    assert answer.status == 200
    assert [lane["name"] for lane in answer.values["lanes"]] == ["Ann", "person 1", "person 2"]
    assert answer.values["corrections"] == [{"face": 0, "action": "name", "start": None, "end": None, "value": "Ann"}]
    assert served.get("api/video/0").values == answer.values
    (line,) = read_corrections(tmp_path / "c.csv")
    assert (line.video, line.face_id, line.value) == ("a.mp4", 0, "Ann")


def test_the_tables_of_the_server_equal_those_of_correct(results: Path, tmp_path: Path) -> None:
    lines = [
        "a.mp4,0,split,5.0,,",
        "a.mp4,1,exclude,,2.0,hand",
        "a.mp4,2,person,,,0",
        "a.mp4,0,name,,,Ann",
        "a.mp4,1,role,,,guest",
    ]
    file = write_corrections(tmp_path / "c.csv", *lines)
    correct(results, file, tmp_path / "out.parquet")
    expected, shown = (
        read_results(tmp_path / "out.parquet"),
        LiveResults(results).corrected("a.mp4", read_corrections(file)),
    )
    for name in ("timeline", "episodes", "summary", "persons", "shots", "doubts", "videos"):
        table = getattr(expected, name)
        own = table[table["video"] == "a.mp4"].reset_index(drop=True)
        assert own.equals(getattr(shown, name)), name


def test_a_settled_doubt_leaves_the_overview(served: Served) -> None:
    served.change(0, "split", served.version(0), face_id="0", start="4.0")
    assert [one["reason"] for one in served.get("api/overview").values["lists"][0]["moments"]] == ["never moves"]


def test_a_correction_that_does_not_fit_is_refused_with_the_reason(served: Served, tmp_path: Path) -> None:
    answer = served.change(0, "join", served.version(0), face_id="0", value="1")
    assert answer.status == 422
    assert "both seen at 0.000 s" in answer.values["error"]
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"face_id": 1}', b"\xff"])
def test_a_request_that_is_no_correction_is_refused(served: Served, body: bytes) -> None:
    assert served.ask(f"/{TOKEN}/api/video/0/name", body, If_Match="x").status == 400
    assert served.ask(f"/{TOKEN}/api/video/0/name", b'{"face_id": "0"}').status == 400
    assert served.ask(f"/{TOKEN}/api/video/0/name", b" " * 70000, If_Match="x").status == 413


def test_undo_and_redo_survive_reloading(served: Served) -> None:
    first = served.change(0, "name", served.version(0), face_id="0", value="Ann").values
    second = served.change(0, "name", first["version"], face_id="1", value="Ben").values
    undone = served.change(0, "undo", second["version"]).values
    assert (undone["version"], undone["canRedo"]) == (first["version"], True)
    assert served.get("api/video/0").values == undone
    assert served.change(0, "redo", undone["version"]).values == second


def test_two_windows_lose_no_line(served: Served, tmp_path: Path) -> None:
    version = served.version(0)
    assert served.change(0, "name", version, face_id="0", value="Ann").status == 200
    answer = served.change(0, "name", version, face_id="1", value="Ben")
    assert answer.status == 409
    assert served.change(1, "name", served.version(1), face_id="0", value="Eve").status == 200
    assert served.change(0, "name", served.version(0), face_id="1", value="Ben").status == 200
    assert [one.value for one in read_corrections(tmp_path / "c.csv")] == ["Ann", "Eve", "Ben"]


def test_corrections_that_do_not_apply_are_named_and_the_video_is_still_shown(results: Path, tmp_path: Path) -> None:
    file = write_corrections(tmp_path / "c.csv", "a.mp4,9,name,,,Ann")
    with reviewing(results, corrections=file) as server:
        told = server.get("api/video/0").values
        assert "line 2, column face_id: the video has no face 9" in told["problem"]
        assert len(told["faces"]) == 3
        assert server.get("api/overview").status == 200


def test_corrected_results_are_shown_but_not_corrected_again(results: Path, tmp_path: Path) -> None:
    file = write_corrections(tmp_path / "names.csv", "a.mp4,0,name,,,Ann")
    correct(results, file, tmp_path / "done.parquet")
    with reviewing(tmp_path / "done.parquet") as server:
        told = server.get("api/video/0").values
        assert "corrected already" in told["refusal"]
        answer = server.change(0, "name", told["version"], face_id="1", value="Ben")
        assert (answer.status, answer.values["error"]) == (422, told["refusal"])
    assert not (tmp_path / "done.corrections.csv").exists()


def test_corrections_survive_a_kill_at_any_moment(results: Path, tmp_path: Path) -> None:
    """While one request after another is saved, the server is killed. What it acknowledged is in the file."""
    file = tmp_path / "c.csv"
    acknowledged: list[str] = []
    for wait, enough in ((0.05, 1), (0.21, 4)):
        with review_process(tmp_path, results, "--corrections", file) as (server, process):

            def save(server: Served = server) -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    version = server.version(1)
                    while True:
                        name = f"{len(acknowledged)}"
                        time = f"{len(acknowledged) * 0.2 + 0.01:.3f}"
                        answer = server.change(1, "split", version, face_id=name, start=time)
                        assert answer.status == 200, answer.body
                        acknowledged.append(name)
                        version = answer.values["version"]

            saving = threading.Thread(target=save)
            saving.start()
            wait_for(lambda: len(acknowledged) > enough, "nothing was saved")  # noqa: B023
            time.sleep(wait)
            process.kill()
            saving.join()
        found = [f"{one.face_id}" for one in read_corrections(file)]
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1
        acknowledged[:] = found
    assert len(acknowledged) >= 4
    with reviewing(results, corrections=file) as server:  # what the killed processes left disturbs nobody
        assert server.change(1, "undo", server.version(1)).status == 200
    left = {path.name for path in tmp_path.iterdir() if "c.csv" in path.name or ".c." in path.name}
    assert left == {"c.csv", ".c.csv.redo"}


def test_moments_are_named_once() -> None:
    import pandas as pd

    face = SimpleNamespace(video="a", video_id="1", face_id=0, first_seen=0.0, last_seen=9.0)
    trust = f"seen for only 0.4 s in 2 samples; low picture quality or a turned face; {TWO_PEOPLE} from 3.0 s"
    summary = pd.DataFrame([{**vars(face), "trust": trust}, {**vars(face), "face_id": 1, "trust": "ok"}])
    doubts = pd.DataFrame(
        [{"video": "a", "video_id": "1", "face_id": 0, "start": 3.0, "end": 4.0, "reason": TWO_PEOPLE}]
    )
    assert [one.rank for one in doubtful_moments(summary, doubts)] == [0, 2]
    assert json.dumps([vars(one) for one in doubtful_moments(summary, doubts)])
