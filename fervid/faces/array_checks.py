"""Checks of the arrays that callers give: images and face crops."""

from __future__ import annotations

from typing import Any

import numpy as np

from fervid.errors import UsageError
from fervid.faces.crop import SIZE
from fervid.types import ByteArray


def check_image(image: Any) -> None:
    """Refuse anything but a colour image.

    Args:
        image: Should be (height, width, 3) uint8, and not empty.

    Raises:
        UsageError: It is something else; the message says what.
    """
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3:
        height, width, channels = image.shape
        if channels == 3 and height and width:
            return
    raise UsageError(
        "`image` must be an array (height, width, 3) of uint8 in the order blue, green, red, and not empty; "
        f"this is {_described(image)}"
    )


def as_crops(crops: Any) -> ByteArray:
    """Turn face crops into one array. An array is not copied.

    Args:
        crops: (n, 48, 48) uint8, or a list of such crops; n may be 0.

    Returns:
        (n, 48, 48) uint8.

    Raises:
        UsageError: ``crops`` is something else; the message says what.
    """
    if isinstance(crops, (list, tuple)) and not crops:
        return np.zeros((0, SIZE, SIZE), np.uint8)
    try:
        array = np.asarray(crops)
    except ValueError:  # crops of different sizes
        array = None
    if array is None or array.dtype != np.uint8 or array.ndim != 3 or array.shape[1:] != (SIZE, SIZE):
        given = crops if array is None or not array.ndim else array
        raise UsageError(
            f"`crops` must be an array (n, {SIZE}, {SIZE}) of uint8, such as crop_faces returns; "
            f"this is {_described(given)}"
        )
    return array


def _described(value: Any) -> str:
    """An array's shape and type, or the type of anything else."""
    if isinstance(value, np.ndarray):
        return f"an array ({', '.join(map(str, value.shape))}{',' * (value.ndim == 1)}) of {value.dtype}"
    return f"of type {type(value).__name__}"
