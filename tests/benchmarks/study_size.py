"""Time and memory of ``fervid study`` and ``fervid agree`` for many videos.

    python -m tests.benchmarks.study_size [--form files|folder|parquet] [--count N] [--agree]

Made videos of 10 minutes each, at 5 samples a second, with all measures of the face and 20 events each: 100, 300 and
1,000 of them, as results of one video each, as one folder, and as one Parquet file. Each study runs in a process of its
own, which allocates memory as the command line does. Printed are processor seconds, also for each video, and the
largest memory of that process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from fervid.types import MEASURES, FloatArray
from tests.support.synthetic_results import MadeFace, MadeVideo, wandering, write_results

COUNTS, EVENTS, SAMPLES = (100, 300, 1000), 20, 3000

RESULTS = {"files": "p*.parquet", "folder": "results", "parquet": "results.parquet"}
"""Form → what the study names as its results."""


def make(folder: Path, count: int, form: str) -> Path:
    """Write the results, participants and events of a study; returns the study file."""
    faces = [MadeFace(range(SAMPLES), wandering(SAMPLES, seed), measures=_measures(seed)) for seed in range(5)]
    if form == "files":
        for number, face in enumerate(faces):
            write_results(folder / f"made{number}.parquet", [MadeVideo("video.mp4", [face], count=SAMPLES)])
    else:
        videos = [MadeVideo(f"p{number:04}.mp4", [faces[number % 5]], count=SAMPLES) for number in range(count)]
        write_results(folder / RESULTS[form], videos)
    random = np.random.default_rng(1)
    events = ["video,onset,duration,trial_type"]
    participants = ["participant_id\tvideo"]
    for number in range(count):
        name = f"p{number:04}"
        if form == "files":
            _copy(folder, number % len(faces), name, f"{number:032x}")
        participants.append(f"{name}\t{name}.mp4")
        onsets = np.sort(random.uniform(5, 580, EVENTS)).round(2)
        events += [f"{name}.mp4,{onset},6,{'ab'[place % 2]}" for place, onset in enumerate(onsets)]
    (folder / "participants.tsv").write_text("\n".join(participants) + "\n")
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    study = f'results = ["{RESULTS[form]}"]\nparticipants = "participants.tsv"\nevents = ["events.csv"]\n'
    (folder / "study.toml").write_text(study + "[baseline]\nstart = 0\nend = 20\n")
    return folder / "study.toml"


def _measures(seed: int) -> FloatArray:
    """(SAMPLES, 8) angles in degrees, and values between 0 and 1; a tenth is unknown, as where the face is turned."""
    random = np.random.default_rng(100 + seed)
    angles = random.normal(0, 10, (SAMPLES, 3))
    shares = random.uniform(0, 1, (SAMPLES, len(MEASURES) - 3))
    values = np.column_stack([angles, shares]).astype(np.float32)
    values[random.random(SAMPLES) < 0.1] = np.nan
    return values


def _copy(folder: Path, source: int, name: str, video_id: str) -> None:
    """Write the made results under another name, as those of another video."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / f"made{source}.parquet")
    for column, text in (("video", f"{name}.mp4"), ("video_id", video_id)):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(column), pa.array([text] * len(table), pa.string()))
    pq.write_table(table, folder / f"{name}.parquet")
    for path in folder.glob(f"made{source}.*.csv"):
        text = path.read_text().replace("a" + "0" * 31, video_id).replace("video.mp4", f"{name}.mp4")
        (folder / f"{name}.{path.name.split('.', 1)[1]}").write_text(text)


def measure(study: Path, coding: str | None) -> tuple[float, float]:
    """Processor seconds and the largest memory in MB of one study, or of one agreement with itself."""
    import pyarrow as pa

    from fervid.studies.agree import agree
    from fervid.studies.study import study as run

    pa.set_memory_pool(pa.system_memory_pool())
    started = time.process_time()
    if coding is None:
        run(study, study.parent / "out")
    else:
        agree(study.parent / coding, study.parent / coding)
    return time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", action="append", choices=RESULTS, help="may be repeated; default: all")
    parser.add_argument("--count", action="append", type=int, help="may be repeated; default: 100, 300 and 1000")
    parser.add_argument("--agree", action="store_true", help="measure the agreement of the results with themselves")
    arguments = parser.parse_args()
    print("results  form     events  seconds  ms per video  MB")
    context = multiprocessing.get_context("spawn")
    for form in arguments.form or RESULTS:
        if arguments.agree and form == "files":
            continue  # agree compares one result with another
        for number in arguments.count or COUNTS:
            home = Path(tempfile.mkdtemp(prefix="fervid-study-"))
            try:
                path = make(home, number, form)
                with context.Pool(1) as pool:
                    seconds, memory = pool.apply(measure, (path, RESULTS[form] if arguments.agree else None))
                row = f"{number:7}  {form:7}  {number * EVENTS:6}  {seconds:7.1f}  {1000 * seconds / number:12.0f}  "
                print(f"{row}{memory:.0f}", flush=True)
            finally:
                shutil.rmtree(home)


if __name__ == "__main__":
    main()
