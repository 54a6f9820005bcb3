"""Sessions of onnxruntime, all with the same options."""

from __future__ import annotations

import os
from typing import Any

from fervid.errors import BadWeights


def open_session(graph: bytes, **entries: str) -> Any:
    """Load an ONNX model on the CPU, with one thread. Callers run several processes, or parts of a batch, at once.

    Args:
        graph: The content of an .onnx file.
        **entries: Configuration entries of onnxruntime, with double underscores for the dots in their names.

    Returns:
        The onnxruntime.InferenceSession.

    Raises:
        BadWeights: onnxruntime cannot load the model.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # otherwise it writes an id to the home folder and sends data
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for name, value in entries.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise BadWeights(f"onnxruntime cannot load the weights: {error}") from error
