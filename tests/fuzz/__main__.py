"""Run batches of mutated files through the real command line and check exit code and manifest of each.

    python -m tests.fuzz --count 10000 --folder fuzz

The same command again continues an interrupted run. Files that killed or stalled a worker are kept in the folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from fervid.results.reader import read_results
from tests.fuzz.mutate import make_seeds, mutate
from tests.support.paths import ROOT

CLIP = ROOT / "sample_videos" / "crossing.mp4"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one batch of files."""

    files: int
    seconds: float
    statuses: dict[str, int]
    """Status (for failures the name of the error) → number of files."""
    killers: list[str]
    """Names of the files that killed or stalled a worker."""


def run_batch(folder: Path, seeds: dict[str, bytes], indices: range, seed: int, timeout: float) -> Outcome:
    """Write the files, analyse them, check exit code and manifest; AssertionError if one of them is wrong."""
    videos, out = folder / f"batch-{indices.start}", folder / f"batch-{indices.start}.parquet"
    shutil.rmtree(videos, ignore_errors=True)
    videos.mkdir(parents=True)
    for index in indices:
        name, data = mutate(seeds, index, seed)
        (videos / name).write_bytes(data)
    line = [sys.executable, "-m", "fervid", "analyze", str(videos), "--out", str(out), "--overwrite", "--quiet"]
    started = time.monotonic()
    limit = 120 + len(indices) * timeout
    done = subprocess.run([*line, "--timeout", str(timeout)], capture_output=True, text=True, timeout=limit, cwd=ROOT)
    seconds = time.monotonic() - started
    assert done.returncode in (0, 3, 4), f"exit code {done.returncode}: {done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    manifest = read_results(out).videos
    assert sorted(manifest["video"]) == sorted(path.name for path in videos.iterdir()), "a file has no manifest row"
    failed = manifest["status"] == "failed"
    assert manifest.loc[failed, "message"].str.len().gt(0).all(), "a failure without a reason"
    surprises = manifest[failed & manifest["message"].str.contains("internal error", na=False)]
    assert surprises.empty, surprises[["video", "message"]].to_dict("records")
    kinds = Counter(manifest["status"].where(~failed, manifest["error"]))
    killers = manifest.loc[manifest["error"] == "WorkerFailed", "video"].tolist()
    for name in killers:
        (folder / "killers").mkdir(exist_ok=True)
        shutil.copy(videos / name, folder / "killers" / name)
    _remove(videos, out)
    return Outcome(len(indices), round(seconds, 1), dict(sorted(kinds.items())), killers)


def _remove(videos: Path, out: Path) -> None:
    shutil.rmtree(videos)
    shutil.rmtree(out.with_name(f".{out.name}.fervid"), ignore_errors=True)
    for path in out.parent.glob(f"{out.stem}.*"):
        path.unlink()


def main() -> None:
    """Run the missing batches and print the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--timeout", type=float, default=20.0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    seeds = make_seeds(folder / "seeds", CLIP)
    log = folder / f"seed-{arguments.seed}.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {entry["start"]: entry for entry in known}
    for start in range(0, arguments.count, arguments.batch):
        if start in done:
            continue
        indices = range(start, min(start + arguments.batch, arguments.count))
        outcome = run_batch(folder, seeds, indices, arguments.seed, arguments.timeout)
        done[start] = {"start": start, **asdict(outcome)}
        with log.open("a") as file:
            file.write(json.dumps(done[start]) + "\n")
        print(f"{indices.stop} files: {outcome.statuses}", flush=True)
    total: Counter[str] = Counter()
    for entry in done.values():
        total.update(entry["statuses"])
    print(f"\n{sum(entry['files'] for entry in done.values())} files, {sum(e['seconds'] for e in done.values()):.0f} s")
    for kind, count in total.most_common():
        print(f"{kind:>20}  {count}")


if __name__ == "__main__":
    main()
