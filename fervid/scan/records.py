"""The results of single frames in a file, from the process that scans a segment to the one that joins segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fervid.errors import InternalError
from fervid.files.scratch import RecordFile, read_records
from fervid.scan.frame_analysis import FaceDetections, FrameResult
from fervid.types import Face, PictureShape

Arrays = list[npt.NDArray[Any]]


def write_result(file: RecordFile, result: FrameResult) -> None:
    """Append the result of one frame to a file.

    Args:
        file: The file.
        result: The result.

    Raises:
        OutputError: The disk is full.
    """
    arrays: Arrays = [result.thumbnail]
    shape = result.shape
    value = {
        "time": float(result.time),
        "skipped": int(result.skipped),
        "after_seek": bool(result.after_seek),
        "shape": [list(shape.stored), shape.rotation, float(shape.aspect), bool(shape.mirrored)],
        "sample": _packed(result.sample, arrays),
        "between": _packed(result.between, arrays),
    }
    file.add(value, arrays)


def read_frame_results(path: Path) -> Iterator[FrameResult]:
    """Read the results that ``write_result`` wrote.

    Args:
        path: The complete file.

    Yields:
        The results in their order.

    Raises:
        InternalError: The file is damaged.
        OSError: The file cannot be read.
    """
    for value, arrays in read_records(path):
        try:
            (width, height), rotation, aspect, mirrored = value["shape"]
            left = iter(arrays)
            thumbnail = next(left)
            sample, between = (_unpacked(value[name], left) for name in ("sample", "between"))
            shape = PictureShape((width, height), rotation, aspect, mirrored)
            time, skipped, after_seek = value["time"], value["skipped"], value["after_seek"]
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise InternalError(f"{path} was damaged; run again") from error
        yield FrameResult(time, thumbnail, shape, sample, between, skipped, after_seek)


def _packed(found: FaceDetections | None, arrays: Arrays) -> dict[str, Any] | None:
    """Detections as a JSON value; their arrays are appended to ``arrays``."""
    if found is None:
        return None
    arrays += [*found.descriptors, *found.crops, *found.measures, *found.meshes, *found.aligned_faces.values()]
    return {
        "index": int(found.index),
        "faces": [
            [*map(float, (*face.box, face.score)), [[float(x), float(y)] for x, y in face.landmarks], face.followed]
            for face in found.faces
        ],
        "descriptors": len(found.descriptors),
        "crops": len(found.crops),
        "qualities": [float(quality) for quality in found.qualities],
        "rolls": [float(roll) for roll in found.rolls],
        "measures": len(found.measures),
        "covered": [float(covered) for covered in found.covered],
        "meshes": len(found.meshes),
        "aligned": [int(position) for position in found.aligned_faces],
    }


def _unpacked(value: dict[str, Any] | None, arrays: Iterator[npt.NDArray[Any]]) -> FaceDetections | None:
    if value is None:
        return None
    faces = [
        Face(x, y, width, height, score, tuple((across, down) for across, down in landmarks), followed)
        for x, y, width, height, score, landmarks, followed in value["faces"]
    ]
    descriptors = [next(arrays) for _ in range(value["descriptors"])]
    crops = [next(arrays) for _ in range(value["crops"])]
    measures, meshes = ([next(arrays) for _ in range(value[name])] for name in ("measures", "meshes"))
    aligned = {position: next(arrays) for position in value["aligned"]}
    rated = descriptors, crops, value["qualities"], value["rolls"]
    return FaceDetections(value["index"], faces, *rated, measures, value["covered"], meshes, aligned)
