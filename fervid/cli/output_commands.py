"""The commands that look after an output: status and prune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fervid.cli.messages import answer, answer_json, say
from fervid.cli.option_names import as_options
from fervid.cli.options import Command, Json, LogJson, Quiet
from fervid.errors import UsageError
from fervid.settings_io import read_job

if TYPE_CHECKING:
    from fervid.batch.prune import PruneReport
    from fervid.batch.status import Rerun, Status

SHOWN = 20
"""How many names a list shows; JSON has all."""

STATUSES = {"ok": "with faces", "no_face": "without a face", "failed": "failed", "skipped": "skipped"}
"""Status of an input → how it is called."""

commands = typer.Typer()

Output = Annotated[
    Path,
    typer.Argument(
        metavar="RESULTS",
        help="What fervid analyze wrote, or the job file that names it. Example: results.parquet",
    ),
]


def _named_by(path: Path) -> Path:
    """The results, which a job file may name."""
    if path.suffix == ".toml":
        return Path(read_job(path).out)
    if path.suffix not in ("", ".parquet", ".csv") or path.name in ("", ".."):
        raise UsageError(f"{path} cannot be results: they end in .parquet or .csv, or are a folder")
    return path


@commands.command(cls=Command, rich_help_panel="Analyse videos")
def status(results: Output, json: Json = False) -> None:
    """Print what is done, failed and left, who is at work, and what a rerun would do."""
    from fervid.batch.status import status as find

    found = find(_named_by(results))
    if json:
        answer_json(found.as_json())
    else:
        answer(*(f"{label:<14} {text}" for label, text in _lines(found)))


def _lines(found: Status) -> Iterator[tuple[str, str]]:
    """Label and text of each line."""
    written = f", written {found.written}" if found.written else ""
    yield "results", f"{found.out}: {found.tables}{written}"
    counts = [f"{found.videos[name]} {label}" for name, label in STATUSES.items() if found.videos.get(name)]
    if counts:
        yield "videos", ", ".join(counts)
    yield from _listed("failed", [f"{name}: {as_options(reason)}" for name, reason in found.failed.items()])
    if found.holder is not None:
        who = f"process {found.holder.pid} on {found.holder.host} since {found.holder.since}"
        yield "at work", who if found.holder.pid is not None else "a process that is not known"
    else:
        yield "at work", "nobody"
    if found.last_run is not None:
        run = found.last_run
        reason = f": {as_options(run.message)}" if run.message else ""
        yield "last run", f"ended {run.finished} with exit code {run.exit_code} after {run.seconds:.1f} s{reason}"
    if found.store is not None:
        yield "hidden folder", f"{found.store}, {_megabytes(found.store_size)}"
    if found.rerun is not None:
        yield "a rerun", as_options("; ".join(_rerun(found.rerun)))
        yield from _listed("pending", found.rerun.pending)
    for note in found.notes:
        yield "note", as_options(note)


def _rerun(rerun: Rerun) -> Iterator[str]:
    """What the same command would do, as parts of a sentence."""
    if rerun.refused is not None:
        yield f"would end at once: {rerun.refused}"
        return
    yield f"would analyse {_videos(rerun.analyze)}" if rerun.analyze else "would find nothing new"
    if rerun.leaving:
        yield f"rows of {_videos(rerun.leaving)} would leave the tables"
    if rerun.failed:
        yield f"{_videos(rerun.failed)} failed before (`retry_failed` tries again)"


def _listed(label: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A line for each text, up to a number."""
    for text in texts[:SHOWN]:
        yield label, text
    if len(texts) > SHOWN:
        yield label, f"and {len(texts) - SHOWN} more"


@commands.command(cls=Command, rich_help_panel="Analyse videos")
def prune(
    results: Output,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also remove videos whose folder is missing or empty, as if they were deleted."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Remove deleted videos from results, temporary files of killed runs, and results of earlier settings."""
    from fervid.batch.prune import prune as remove

    done = remove(_named_by(results), dry_run, force)
    for line in _pruned(done, dry_run):
        if not quiet:
            say(as_options(line))
    for folder, count in done.kept.items():
        why = f"{folder} is missing, holds no video or cannot be read"
        say(as_options(f"{_entries(count)} kept, because {why}; `force` removes them"))
    for note in done.notes:
        say(as_options(note))


def _pruned(done: PruneReport, dry_run: bool) -> Iterator[str]:
    """What was removed, as lines."""
    would = "would be " if dry_run else ""
    if done.videos:
        more = f" and {len(done.videos) - SHOWN} more" if len(done.videos) > SHOWN else ""
        yield f"rows of {_videos(len(done.videos))} {would or ''}removed: {', '.join(done.videos[:SHOWN])}{more}"
    counts = [
        f"{_results(done.results)} of deleted videos" if done.results else "",
        f"{_results(done.earlier)} of earlier settings" if done.earlier else "",
        f"{done.temporary} temporary file{'' if done.temporary == 1 else 's'}" if done.temporary else "",
    ]
    if any(counts):
        yield f"{', '.join(filter(None, counts))} {would}removed: {_megabytes(done.size)}"
    if done.is_empty:
        yield "nothing to remove"


def _videos(count: int) -> str:
    return f"{count} video{'' if count == 1 else 's'}"


def _results(count: int) -> str:
    return f"{count} stored result{'' if count == 1 else 's'}"


def _entries(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'} or stored result{'' if count == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
