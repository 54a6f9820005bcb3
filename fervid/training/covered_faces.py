"""Trains the network that sees whether something covers a face, such as a hand, a mask or a mug.

``python -m fervid.training.covered_faces DATA`` writes ``covered.onnx`` beside the data; DATA is FER2013 as
``fervid train`` reads it. The faces are training images of FER2013, which are what the network sees in a scan: crops of
48x48 pixels. Half of them are covered with drawn hands, masks, mugs, dark glasses and patches of other images. One
tenth of the images is held out, and the area under the curve on it is logged.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fervid.faces.covered import NETWORK
from fervid.faces.crop import SIZE, normalize
from fervid.files.atomic import atomic_path
from fervid.runtime.opencv import cv2
from fervid.training.dataset import Dataset, read, split
from fervid.training.onnx_export import require_onnx
from fervid.training.single_path import run_on_path
from fervid.types import ByteArray, DoubleArray, FloatArray

ENLARGED = 2 * SIZE
"""Side of the image on which covers are drawn, in pixels; they are shrunk with it, as in a video."""
MIN_SHARE = 0.06
"""Smallest share of the middle of the face that a cover hides."""
ROUNDS, EPOCHS, BATCH = 2, 5, 128
"""How often each image is used with another cover, and how the network is trained."""
WIDTHS = (16, 32, 48, 64)
"""Channels of the convolutions, each of which halves the sides."""


def make(data: Path) -> None:
    """Write the network.

    Args:
        data: FER2013.

    Raises:
        BadDataset: The data cannot be read.
        MissingLibrary: The package ``onnx`` is not installed.
        OutputError: The file cannot be written.
    """
    require_onnx()
    rest, held = split(read([data], "Training"), 0.1, seed=0)
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    parts = [_samples(rest, rng) for _ in range(ROUNDS)]
    inputs, labels = (np.concatenate(values) for values in zip(*parts, strict=True))
    model = _network()
    model.compile(keras.optimizers.Adam(_decay(len(inputs))), keras.losses.BinaryCrossentropy(True, 0.05))
    model.fit(inputs, labels, BATCH, EPOCHS, verbose=2)
    shown, truth = _samples(held, rng)
    found = np.asarray(model.predict(shown, verbose=0))[:, 0]
    logging.getLogger(__name__).info(
        "area under the curve on %d held-out images: %.4f", len(truth), _area(found, truth)
    )
    with atomic_path(data.with_name(NETWORK.name)) as partial:
        partial.write_bytes(_to_onnx(model))


def _samples(data: Dataset, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Inputs (n, 48, 48, 1) and labels (n,): 1 for a covered face."""
    images, labels = [], []
    for image in data.images:
        is_covered = rng.random() < 0.5
        shown = image.astype(np.float64)
        if is_covered:
            cover, alpha = draw_cover(shown, data.images, rng)
            if float(alpha[_middle()].mean()) < MIN_SHARE:
                continue
            shown = shown * (1 - alpha) + cover * alpha
        if rng.random() < 0.5:
            shown = shown[:, ::-1]
        images.append(np.clip(shown * rng.uniform(0.7, 1.2) + rng.uniform(-15, 15), 0, 255).astype(np.uint8))
        labels.append(float(is_covered))
    return normalize(np.array(images)), np.array(labels, np.float32)


def _middle() -> Any:
    """The pixels of the middle of a face in its crop."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    return ((columns - 0.5) / 0.36) ** 2 + ((rows - 0.52) / 0.44) ** 2 < 1


def draw_cover(face: DoubleArray, others: ByteArray, rng: np.random.Generator) -> tuple[DoubleArray, DoubleArray]:
    """Draw something that covers a part of a face.

    Args:
        face: (48, 48) gray.
        others: (n, 48, 48) other faces, parts of which become patches.
        rng: Source of randomness.

    Returns:
        (48, 48) gray values of the cover, and (48, 48) its opacity, 0 to 1.
    """
    kind = rng.choice(["hand", "mask", "mug", "glasses", "patch"], p=[0.6, 0.1, 0.1, 0.05, 0.15])
    if kind == "hand":
        values, alpha = _hand(face, rng)
    else:
        alpha = _shape(str(kind), rng)
        if kind == "glasses":
            values = np.full((ENLARGED, ENLARGED), rng.uniform(0, 50))
        elif rng.random() < 0.5:
            values = rng.uniform(10, 245) + _clouds(rng, rng.uniform(2, 25))
        else:
            left, top = rng.integers(0, SIZE // 2, 2)
            patch = others[rng.integers(len(others))][top : top + SIZE // 2, left : left + SIZE // 2]
            values = np.asarray(cv2.resize(patch.astype(np.float64), (ENLARGED, ENLARGED)))
    cover, opacity = (cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for one in (values, alpha))
    blurred = cv2.GaussianBlur(opacity, (0, 0), rng.uniform(0.3, 0.8))
    return np.asarray(cover, np.float64), np.asarray(blurred, np.float64)


def _hand(face: DoubleArray, rng: np.random.Generator) -> tuple[DoubleArray, DoubleArray]:
    """Fingers and a palm in the gray of the face's skin, mostly from below."""
    skin = float(np.median(face[20:32, 14:34])) * rng.uniform(0.8, 1.2) + rng.uniform(-15, 15)
    angle = np.pi / 2 + (rng.uniform(-1, 1) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi))
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    tip = rng.uniform((0.15, 0.3), (0.85, 0.85)) * ENLARGED
    width, count, length = (
        rng.uniform(0.05, 0.085) * ENLARGED,
        int(rng.integers(1, 6)),
        rng.uniform(0.25, 0.6) * ENLARGED,
    )
    spread, rim = rng.uniform(0.85, 1.4), rng.uniform(0.5, 0.9)
    values, alpha = np.full((ENLARGED, ENLARGED), skin), np.zeros((ENLARGED, ENLARGED))
    palm = tip + along * (length + 0.15 * ENLARGED)
    places = [(number - (count - 1) / 2) * 2 * width for number in range(count)]
    for part in [None, *rng.permutation(places)]:
        drawn = np.zeros((ENLARGED, ENLARGED), np.uint8)
        if part is None:
            ends, radius = (palm, palm + along * 2 * ENLARGED), max(count, 2) * width * 0.9
        else:
            shift = along * rng.uniform(-0.12, 0.12) * ENLARGED
            ends, radius = (tip + across * part * spread + shift, tip + across * part + along * (length + width)), width
        start, end = (tuple(np.round(one).astype(int).tolist()) for one in ends)
        cv2.line(drawn, start, end, 255, max(2, round(2 * radius)), cv2.LINE_AA)
        depth = cv2.distanceTransform((drawn > 127).astype(np.uint8), cv2.DIST_L2, 3)
        shade = (skin + rng.uniform(-10, 10)) * (rim + (1 - rim) * np.clip(depth / (width * rng.uniform(0.4, 1)), 0, 1))
        opacity = drawn / 255.0
        values, alpha = values * (1 - opacity) + shade * opacity, np.maximum(alpha, opacity)
    return values + _clouds(rng, rng.uniform(1, 10)), alpha


def _shape(kind: str, rng: np.random.Generator) -> DoubleArray:
    """The opacity of a mask, a mug, dark glasses or a patch."""
    alpha = np.zeros((ENLARGED, ENLARGED), np.uint8)
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.55, 0.85)
    if kind == "mask":
        edge = np.array([(0.05, 0.5), (0.5, 0.42), (0.95, 0.5), (0.93, 0.8), (0.7, 1.0), (0.3, 1.0), (0.07, 0.8)])
        edge += (rng.uniform(-0.04, 0.04), rng.uniform(-0.02, 0.12))
        cv2.fillPoly(alpha, [np.round(edge * ENLARGED).astype(np.int32)], 255)
    elif kind == "mug":
        half, top = rng.uniform(0.14, 0.3), rng.uniform(0.1, 0.3)
        corners = np.array([(x - half, y - top), (x + half, y + 1.6 * half)]) * ENLARGED
        start, end = (tuple(one) for one in np.round(corners).astype(int).tolist())
        cv2.rectangle(alpha, start, end, 255, -1)
    elif kind == "glasses":
        height, radius = rng.uniform(0.34, 0.42), rng.uniform(0.12, 0.18)
        for side in (0.29, 0.71):
            centre = (round(side * ENLARGED), round(height * ENLARGED))
            cv2.ellipse(alpha, centre, (round(radius * ENLARGED), round(0.8 * radius * ENLARGED)), 0, 0, 360, 255, -1)
    else:
        axes = rng.uniform(0.12, 0.35, 2) * ENLARGED
        centre = (round(x * ENLARGED), round(rng.uniform(0.25, 0.85) * ENLARGED))
        cv2.ellipse(alpha, centre, (round(axes[0]), round(axes[1])), rng.uniform(0, 180), 0, 360, 255, -1)
    return alpha / 255.0


def _clouds(rng: np.random.Generator, size: float) -> DoubleArray:
    """Slow random changes of gray with this standard deviation."""
    return np.asarray(cv2.resize(rng.normal(0, size, (6, 6)), (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC))


def _network() -> Any:
    layers: list[Any] = [keras.layers.Input((SIZE, SIZE, 1))]
    for width in WIDTHS:
        layers += [
            keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", kernel_initializer="he_normal"),
            keras.layers.Conv2D(width, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dropout(0.3), keras.layers.Dense(1)])


def _decay(count: int) -> Any:
    return keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * -(-count // BATCH), alpha=0.01)


def _area(found: FloatArray, truth: FloatArray) -> float:
    """Area under the receiver operating characteristic."""
    below = np.searchsorted(np.sort(found[truth == 0]), found[truth == 1])
    return float(below.mean() / (truth == 0).sum())


def _to_onnx(model: Any) -> bytes:
    """The network as an ONNX file with weights in half precision. Its output is a probability."""
    onnx = require_onnx()
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    casts, nodes, weights = [], [], []
    name = "image"

    def half(values: Any, label: str) -> str:
        weights.append(onnx.numpy_helper.from_array(np.asarray(values, np.float16), f"{label}_half"))
        casts.append(helper.make_node("Cast", [f"{label}_half"], [label], to=kind))
        return label

    side = SIZE
    for number, layer in enumerate(one for one in model.layers if one.get_weights()):
        kernel, bias = layer.get_weights()
        if kernel.ndim == 4:
            stride = layer.strides[0]
            pads = [0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1]
            given = [name, half(kernel.transpose(3, 2, 0, 1), f"k{number}"), half(bias, f"b{number}")]
            nodes.append(helper.make_node("Conv", given, [f"c{number}"], pads=pads, strides=[stride, stride]))
            nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
            name, side = f"r{number}", side // stride
        else:
            rows = kernel.reshape(side, side, -1).transpose(2, 0, 1).reshape(-1, 1)
            nodes.append(helper.make_node("Flatten", [name], ["flat"], axis=1))
            nodes.append(helper.make_node("Gemm", ["flat", half(rows, "dense"), half(bias, "offset")], ["logit"]))
            nodes.append(helper.make_node("Sigmoid", ["logit"], ["covered"]))
    given = helper.make_tensor_value_info("image", kind, ["n", 1, SIZE, SIZE])
    result = helper.make_tensor_value_info("covered", kind, ["n", 1])
    graph = helper.make_graph([*casts, *nodes], "fervid", [given], [result], weights)
    opset = helper.make_opsetid("", 13)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=7).SerializeToString())


def main(arguments: list[str]) -> int | str:
    """Write the file beside the data that the only argument names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    logging.basicConfig(level=logging.INFO)
    return run_on_path(arguments, "python -m fervid.training.covered_faces DATA", make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
