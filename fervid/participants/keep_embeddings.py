"""Writing embeddings to a file, which happens only if it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fervid.files.atomic import atomic_path
from fervid.participants.gallery import Gallery
from fervid.participants.outcome import FoundPerson
from fervid.types import FloatArray


def write_embeddings(
    path: Path, persons: Sequence[FoundPerson], vectors: Sequence[FloatArray | None], gallery: Gallery | None
) -> None:
    """Write embeddings, which are biometric data, to a file that only this user can read.

    Args:
        path: The .npz file to write. It holds plain arrays: ``video``, ``person`` (-1 for none), ``face_id``,
            ``participant`` and ``embedding`` (n, 128) of the persons, ``name`` and ``name_embedding`` of the gallery.
        persons: The persons.
        vectors: The embedding of each; None for a person without one, which is left out.
        gallery: The gallery, if there is one.

    Raises:
        OutputError: The file cannot be written.
    """
    kept = [(person, vector) for person, vector in zip(persons, vectors, strict=True) if vector is not None]
    arrays: dict[str, Any] = {
        "video": np.array([person.video for person, _ in kept], np.str_),
        "person": np.array([-1 if person.person is None else person.person for person, _ in kept], np.int64),
        "face_id": np.array([person.face_id for person, _ in kept], np.int64),
        "participant": np.array([person.participant or "" for person, _ in kept], np.str_),
        "embedding": np.array([vector for _, vector in kept], np.float32).reshape(-1, 128),
        "name": np.array(gallery.names if gallery else [], np.str_),
        "name_embedding": gallery.vectors if gallery else np.zeros((0, 128), np.float32),
    }
    with atomic_path(path) as partial:
        partial.chmod(0o600)  # before anything is in it
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
