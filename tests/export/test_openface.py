"""The head's pose and the landmarks in OpenFace's columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fervid
from fervid.export.export import export
from fervid.export.pyfeat_openface import LANDMARK_COLUMNS, openface_frame
from fervid.faces.landmarks import LANDMARKS
from fervid.faces.pose import rotation_of
from fervid.results.mesh_table import read_points
from tests.support.paths import SAMPLES

pytestmark = pytest.mark.usefixtures("replayed_module")

POSE = ["pose_Rx", "pose_Ry", "pose_Rz"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("openface") / "r.parquet"
    fervid.analyze([SAMPLES / "leaving.mp4"], out=out, fps=5, mesh=True)
    return out


def test_pose_is_the_rotation_in_the_axes_of_openface(results: Path) -> None:
    rows = fervid.read_results(results).timeline.query("face_id == 0").head(4)
    turned = [(20, 0, 0), (0, 20, 0), (0, 0, 20), (25, -15, 35)]
    rows = rows.assign(**dict(zip(("head_yaw", "head_pitch", "head_roll"), np.array(turned, float).T, strict=True)))
    found = openface_frame(rows)[POSE].to_numpy(np.float64)
    straight = np.radians([(0, -20, 0), (-20, 0, 0), (0, 0, -20)])  # right, down and the left shoulder are positive
    np.testing.assert_allclose(found[:3], straight, atol=1e-6)
    (cx, cy, cz), (sx, sy, sz) = np.cos(found[3]), np.sin(found[3])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    axes = np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(axes @ about_x @ about_y @ about_z @ axes, rotation_of(*turned[3]), atol=1e-6)


def test_landmarks_are_points_of_the_mesh_in_their_rows(results: Path, tmp_path: Path) -> None:
    (path,) = export(results, "openface", tmp_path / "of.csv").files
    found, timeline = pd.read_csv(path), fervid.read_results(results).timeline
    assert len(found) == len(timeline)
    (video_id,) = timeline["video_id"].unique()
    points = {
        (int(frame), int(face)): one[list(LANDMARKS), :2].astype(np.float32)
        for frames, faces, several in read_points(results, video_id)
        for frame, face, one in zip(frames, faces, several, strict=True)
    }
    assert len(points) == (found["success"] == 1).sum()
    seen = found[found["pose_Rx"].notna()]
    assert len(seen) > 5
    for row in seen.itertuples():
        expected = points[row.frame - 1, row.face_id].T.ravel()
        own = np.array([getattr(row, name) for name in LANDMARK_COLUMNS], np.float32)
        np.testing.assert_array_equal(own, expected)
        box = row.face_x, row.face_x + row.face_width
        assert box[0] - 0.3 * row.face_width < np.median(own[:68]) < box[1] + 0.3 * row.face_width
        assert own[36] < own[45]  # the person's right eye is on the left of the image
        assert own[68 + 36] < own[68 + 57] < own[68 + 8] + 1e-3  # eyes above the lips above the chin
    assert found.loc[found["pose_Rx"].isna(), [*POSE, *LANDMARK_COLUMNS]].isna().all().all()


def test_results_without_meshes_and_measures_have_no_such_columns(results: Path, tmp_path: Path) -> None:
    tables = fervid.read_results(results)
    (path,) = export(tables, "openface", tmp_path / "of.csv").files
    assert not set(LANDMARK_COLUMNS) & set(pd.read_csv(path).columns)
    unknown = tables.timeline.assign(head_yaw=np.nan, head_pitch=np.nan, head_roll=np.nan)
    assert not set(POSE) & set(openface_frame(unknown).columns)
