"""What finding participants gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fervid.errors import batch_exit_code


@dataclass(frozen=True)
class FoundPerson:
    """Who a person of a video is.

    Attributes:
        video: Name of the video.
        person: Number of the person in the video; None for a face without one.
        face_id: A face of the person.
        participant: The name, or the name of the group; None if unknown.
        similarity: Cosine similarity to the most similar name; without a gallery, the mean to the others of the group;
            None if nothing could be compared.
        margin: How much less similar the next name or group is; None if there is none.
        nearest: The most similar name; None if nothing could be compared.
        faces: Number of faces that were compared.
        note: Why the person is unknown, or what to check; None if there is nothing to say.
    """

    video: str
    person: int | None
    face_id: int
    participant: str | None
    similarity: float | None
    margin: float | None
    nearest: str | None
    faces: int
    note: str | None = None


@dataclass(frozen=True)
class Participants:
    """The outcome of ``find_participants``.

    Attributes:
        path: The corrections file.
        persons: Every person of the videos that could be opened.
        videos: Number of videos that show persons.
        failed: (video, reason) for each of them that could not be opened.
        notes: What a user should know about the photos and the results, as sentences.
        is_continued: Whether the results were corrected before, so that the file applies after earlier ones.
    """

    path: Path
    persons: tuple[FoundPerson, ...]
    videos: int
    failed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    is_continued: bool = False

    @property
    def exit_code(self) -> int:
        """0 if no video failed, 3 if some did, 4 if all did; nothing is written then."""
        return batch_exit_code(len(self.failed), self.videos)
