"""Peak memory of the main process of each command with many clips of one sample each.

The clips are one picture with one face. Each has another number behind the picture, so that no two have the same
content. Every command runs in a process of its own; the peaks are those that Linux reports (VmHWM).

    python -m tests.benchmarks.many [--count 20000] [--folder FOLDER] [--made] [--only COMMAND]

With ``--made`` one clip is analysed, and its rows are written for all clips with fervid's own writer, each with the
name, the size and the fingerprint of its file. The rows of ``analyze`` are left out then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import cv2

from fervid.files.fingerprint import fingerprint
from fervid.results.parts import named
from fervid.results.reader import read_checked
from fervid.results.schema import SMALL
from fervid.results.writer import writers
from tests.benchmarks.throughput_runs import peaks
from tests.support.paths import SAMPLES

SOURCE = SAMPLES / "rotated.mp4"
"""Its first frame is the picture of every clip."""

LIMIT = 400
"""Megabytes that no main process may exceed."""


def first_frame(source: Path, out: Path) -> bytes:
    """Encode the first frame of ``source`` as a video at ``out``, and return its bytes."""
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0)).reformat(width=320, height=240, format="yuv420p")
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        frame.pts = None
        target.mux([*stream.encode(frame), *stream.encode()])
    return out.read_bytes()


def make_clips(folder: Path, count: int) -> Path:
    """Write ``count`` clips of one frame below ``folder``, 1,000 a folder, unless they are there."""
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    data = first_frame(SOURCE, folder / "one.mp4")
    for number in range(count):
        path = videos / f"{number // 1000:03d}" / f"{number:06d}.mp4"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data + struct.pack(">I4sQ", 16, b"free", number))  # a box that players pass over
    return videos


def make_results(folder: Path, videos: Path) -> None:
    """Write ``r.parquet`` as an analysis of the clips below ``videos`` would, from the analysis of one of them."""
    clips = sorted(videos.rglob("*.mp4"))
    one = folder / "one.parquet"
    line = [sys.executable, "-m", "fervid", "analyze", str(clips[0]), "--out", str(one), "--workers", "1", "--quiet"]
    subprocess.run(line, check=True)
    read = read_checked(one)
    timeline = read.tables["timeline"]
    assert len(read.tables["summary"]) == 1, "the clip shows no face"
    small = {name: read.tables[name].to_pylist() for name in SMALL}
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in read.metadata.items()}
    metadata["roots"] = json.dumps([str(videos)])
    place = timeline.schema.get_field_index("video_id")
    scratch = Path(tempfile.mkdtemp(dir=folder))
    with writers(folder / "r.parquet", metadata, scratch) as tables:
        for clip in clips:
            own = {"video": clip.relative_to(videos).as_posix(), "video_id": fingerprint(clip)}
            rows = timeline.set_column(place, timeline.schema.field(place), [[own["video_id"]] * len(timeline)])
            tables.timeline.add(named(rows, own["video"]))
            for name, table in small.items():
                size = {"size": clip.stat().st_size} if name == "videos" else {}
                tables.small[name].add([{**row, **own, **size} for row in table])
    shutil.rmtree(scratch)


READ = "import sys, fervid; r = fervid.read_results(sys.argv[1]); assert len(r.videos) == int(sys.argv[2])"


def make_inputs(folder: Path, count: int) -> None:
    """Write a photo for ``participants``, and a study: 50 clips for each participant, an event in each clip."""
    gallery = folder / "gallery"
    gallery.mkdir(exist_ok=True)
    with av.open(str(folder / "one.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="bgr24")
    cv2.imwrite(str(gallery / "Anna.png"), picture)
    names = [f"{number // 1000:03d}/{number:06d}.mp4" for number in range(count)]
    people = [f"p{number // 50:03d}\t{name}" for number, name in enumerate(names)]
    (folder / "participants.tsv").write_text("\n".join(["participant_id\tvideo", *people]) + "\n")
    events = [f"{name},0,0.2,{'ab'[number % 2]}" for number, name in enumerate(names)]
    (folder / "events.csv").write_text("\n".join(["video,onset,duration,trial_type", *events]) + "\n")
    (folder / "study.toml").write_text(
        'results = ["r.parquet"]\nparticipants = "participants.tsv"\nevents = ["events.csv"]\n'
        'person = "most_seen"\ntrust = "any"\n'
    )


def commands(folder: Path, videos: Path, count: int) -> list[tuple[str, list[str]]]:
    """The name and the arguments after ``python`` of each command, in the order in which they run."""
    fervid = ["-m", "fervid"]
    out, tables, parts = (str(folder / name) for name in ("r.parquet", "t.csv", "parts"))
    corrections = folder / "corrections.csv"
    corrections.write_text("video,face_id,action,start,end,value\n000/000000.mp4,0,name,,,Anna\n")
    analyze = [*fervid, "analyze", str(videos), "--out", out, "--quiet"]
    return [
        ("analyze, everything new", analyze),
        ("analyze, nothing new", analyze),
        ("merge into CSV", [*fervid, "merge", out, "--out", tables]),
        ("merge into a folder", [*fervid, "merge", out, "--out", parts]),
        ("read_results, Parquet", ["-c", READ, out, str(count)]),
        ("read_results, CSV", ["-c", READ, tables, str(count)]),
        ("read_results, folder", ["-c", READ, parts, str(count)]),
        ("correct", [*fervid, "correct", out, "--corrections", str(corrections), "--out", str(folder / "c.parquet")]),
        ("export --to csv", [*fervid, "export", out, "--to", "csv", "--out", str(folder / "e.csv")]),
        ("export --to pyfeat", [*fervid, "export", out, "--to", "pyfeat", "--out", str(folder / "p.csv")]),
        ("export --to openface", [*fervid, "export", out, "--to", "openface", "--out", str(folder / "openface")]),
        ("export --to elan", [*fervid, "export", out, "--to", "elan", "--out", str(folder / "elan")]),
        ("export --to textgrid", [*fervid, "export", out, "--to", "textgrid", "--out", str(folder / "textgrid")]),
        ("export --to boris", [*fervid, "export", out, "--to", "boris", "--out", str(folder / "b.boris")]),
        ("export --to bids", [*fervid, "export", out, "--to", "bids", "--out", str(folder / "bids")]),
        ("export --to excel", [*fervid, "export", out, "--to", "excel", "--out", str(folder / "e.xlsx")]),
        (
            "participants",
            [
                *fervid,
                "participants",
                out,
                "--videos",
                str(videos),
                "--gallery",
                str(folder / "gallery"),
                "--out",
                str(folder / "names.csv"),
                "--quiet",
            ],
        ),
        ("study", [*fervid, "study", str(folder / "study.toml"), "--out", str(folder / "study"), "--quiet"]),
        ("report --no-thumbnails", [*fervid, "report", out, "--no-thumbnails", "--out", str(folder / "r.html")]),
        ("report", [*fervid, "report", out, "--videos", str(videos), "--out", str(folder / "t.html"), "--quiet"]),
        ("annotate", [*fervid, "annotate", out, "--videos", str(videos), "--out", str(folder / "drawn"), "--quiet"]),
    ]


def measure(arguments: Sequence[str]) -> float:
    """Run Python with these arguments; return the peak of its main process in MB."""
    _, found = peaks([sys.executable, *arguments])
    return max(peak.megabytes for peak in found if peak.role == "main")


def main() -> None:
    """Print the table; end with 1 if a command exceeds the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--made", action="store_true", help="make the results from the rows of one analysed clip")
    parser.add_argument("--only", action="append", help="a command of the table")
    arguments = parser.parse_args()
    exceeded = False
    print(f"| {arguments.count:,} clips of one sample | main process, MB |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        videos = make_clips(folder, arguments.count)
        make_inputs(folder, arguments.count)
        if arguments.made and not (folder / "r.parquet").exists():
            make_results(folder, videos)
        for name, line in commands(folder, videos, arguments.count):
            if name in arguments.only if arguments.only else not (arguments.made and name.startswith("analyze")):
                try:
                    peak = measure(line)
                except AssertionError as error:
                    sys.exit(f"{name} failed: {error}")
                exceeded |= peak > LIMIT
                print(f"| {name} | {peak:.0f} |", flush=True)
    sys.exit(1 if exceeded else 0)


if __name__ == "__main__":
    main()
