"""onnxruntime's sessions, all made alike."""

from __future__ import annotations

import os
from typing import Any

from fervid.errors import BadWeights


def open_session(graph: bytes, **entries: str) -> Any:
    """A session of the ONNX model ``graph`` on the CPU and on one thread: parallelism is one process, or one part of
    a batch, per core.

    ``entries``: onnxruntime's configuration entries, dots in their names as double underscores. Raises BadWeights.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or it writes an identity into the home folder, and reports
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for name, value in entries.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise BadWeights(f"onnxruntime refuses the weights: {error}") from error
