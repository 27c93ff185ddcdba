"""An ONNX model, run by onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import onnxruntime

MAX_MODEL_BYTES = 4 << 20  # 4 MiB
# How far from 1 the probabilities of a row may sum.
SUM_TOLERANCE = 1e-3


class Refused(Exception):
    """What the caller sent cannot be used; the text says what and why."""


class Execution:
    """A call in progress: may be stopped from another thread, also inside the model."""

    def __init__(self, report_progress: Callable[[float], None] = lambda fraction: None) -> None:
        self.report_progress = report_progress
        self.stopped = threading.Event()
        self.run_options = onnxruntime.RunOptions()

    def stop(self) -> None:
        self.stopped.set()
        self.run_options.terminate = True


class Slot:
    """One thing that a model takes or gives."""

    def __init__(self, value: onnxruntime.NodeArg) -> None:
        self.name = value.name
        self._is_float32 = value.type == "tensor(float)"
        self._dims = [size if isinstance(size, int) else None for size in value.shape]
        kind = "float32" if self._is_float32 else value.type
        sizes = ["batch" if size is None else str(size) for size in self._dims]
        self.shown = f"{kind} [{', '.join(sizes)}]"
        """Its type and shape in words, such as `float32 [batch, 16]`."""

    def batched(self) -> tuple[list[int], bool] | None:
        """Sizes behind the batch, and whether the model takes one at a time; None where it is no float32 with a batch of any size or 1."""
        if not self._is_float32 or not self._dims or self._dims[0] not in (None, 1) or None in self._dims[1:]:
            return None
        return self._dims[1:], self._dims[0] == 1

    def row_width(self) -> int | None:
        """How wide the rows of an output are; None where it is no float32 of two dimensions, whatever the first is."""
        return self._dims[1] if self._is_float32 and len(self._dims) == 2 else None


class Model:
    def __init__(self, onnx: bytes) -> None:
        if len(onnx) > MAX_MODEL_BYTES:
            raise Refused(f"The model of {len(onnx)} bytes is too large: it may have at most {MAX_MODEL_BYTES}")
        options = onnxruntime.SessionOptions()
        # One call, one thread: the node decides how many calls there are.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an exception class for each status
            raise Refused(f"The model cannot be read: {error}") from error
        self.inputs = [Slot(value) for value in self._session.get_inputs()]
        self.outputs = [Slot(value) for value in self._session.get_outputs()]

    def metadata(self, key: str) -> str:
        """A text that the file brings beside the model; empty where it brings none."""
        return self._session.get_modelmeta().custom_metadata_map.get(key, "")

    def run(self, values: np.ndarray, execution: Execution) -> list[np.ndarray]:
        """Runs the model once. `values` is its one input, the batch first; each output has a row for each of it."""
        if execution.stopped.is_set():
            raise Refused("The call was stopped")
        try:
            outputs = self._session.run(None, {self.inputs[0].name: values}, execution.run_options)
        except Exception as error:
            raise Refused(f"The model failed: {error}") from error
        for output in outputs:
            if output.ndim != 2 or len(output) != len(values):
                raise Refused(f"The model gave {list(output.shape)} for a batch of {len(values)}")
        return outputs


def first_improbable(rows: np.ndarray) -> int | None:
    """The first row whose values are not from 0 to 1 with 1 as their sum. A comparison with NaN is false, so NaN is found too."""
    ranges = ((rows >= 0) & (rows <= 1 + SUM_TOLERANCE)).all(axis=1)
    sums = np.abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE
    return next(iter(np.flatnonzero(~(ranges & sums))), None)
