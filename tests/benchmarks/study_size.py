"""Time and memory of ``fervid study`` for many results.

    python -m tests.benchmarks.study_size

Made results of 10 minutes each, at 5 samples a second, with 20 events each: 100, 300 and 1,000 of them. Each study
runs in a process of its own. Printed are processor seconds, also for each result, and the largest memory of that
process.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.support.synthetic_results import MadeFace, MadeVideo, wandering, write_results

COUNTS, EVENTS, SAMPLES = (100, 300, 1000), 20, 3000


def make(folder: Path, count: int) -> Path:
    """Write the results, participants and events of a study; returns the study file."""
    faces = [MadeFace(range(SAMPLES), wandering(SAMPLES, seed)) for seed in range(5)]
    for number, face in enumerate(faces):
        write_results(folder / f"made{number}.parquet", [MadeVideo("video.mp4", [face], count=SAMPLES)])
    random = np.random.default_rng(1)
    events = ["video,onset,duration,trial_type"]
    participants = ["participant_id\tvideo"]
    for number in range(count):
        name = f"p{number:04}"
        _copy(folder, number % len(faces), name, f"{number:032x}")
        participants.append(f"{name}\t{name}.mp4")
        onsets = np.sort(random.uniform(5, 580, EVENTS)).round(2)
        events += [f"{name}.mp4,{onset},6,{'ab'[place % 2]}" for place, onset in enumerate(onsets)]
    (folder / "participants.tsv").write_text("\n".join(participants) + "\n")
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    study = 'results = ["p*.parquet"]\nparticipants = "participants.tsv"\nevents = ["events.csv"]\n'
    (folder / "study.toml").write_text(study + "[baseline]\nstart = 0\nend = 20\n")
    return folder / "study.toml"


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


def measure(study: Path, out: Path) -> tuple[float, float]:
    """Processor seconds and the largest memory in MB of one study."""
    from fervid.studies.study import study as run

    started = time.process_time()
    run(study, out)
    return time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    print("results  events  seconds  ms per result  MB")
    context = multiprocessing.get_context("spawn")
    for number in COUNTS:
        home = Path(tempfile.mkdtemp(prefix="fervid-study-"))
        try:
            path = make(home, number)
            with context.Pool(1) as pool:
                seconds, memory = pool.apply(measure, (path, home / "out"))
            row = f"{number:7}  {number * EVENTS:6}  {seconds:7.1f}  {1000 * seconds / number:13.0f}  {memory:.0f}"
            print(row, flush=True)
        finally:
            shutil.rmtree(home)
