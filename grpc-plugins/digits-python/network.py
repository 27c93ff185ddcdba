"""An ONNX model that takes images and gives probabilities, run by onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import onnxruntime

PIXELS = 64
MAX_MODEL_BYTES = 4 << 20  # 4 MiB
MAX_CLASSES = 1000
# Images that run at once: bounds the memory of a call, and paces its progress.
BATCH = 256
# How far from 1 the probabilities of an image may sum.
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


class Network:
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
        self._input, self._image, self._batch = _check_input(self._session.get_inputs())
        self.classes = _check_output(self._session.get_outputs())

    def predict(self, pixels: np.ndarray, execution: Execution) -> np.ndarray:
        """The probabilities of each image's classes, [images, classes]. `pixels` is uint8 [images, 64]."""
        count = len(pixels)
        rows = np.empty((count, self.classes), dtype=np.float32)
        for begin in range(0, count, self._batch):
            if execution.stopped.is_set():
                raise Refused("The call was stopped")
            images = pixels[begin : begin + self._batch]
            end = begin + len(images)
            values = images.astype(np.float32).reshape(len(images), *self._image)
            try:
                (output,) = self._session.run(None, {self._input: values}, execution.run_options)
            except Exception as error:
                raise Refused(f"The model failed: {error}") from error
            if output.shape != (len(images), self.classes):
                raise Refused(f"The model gave {list(output.shape)} for {len(images)} images of {self.classes} classes")
            # A comparison with NaN is false, so NaN is refused too.
            ranges = ((output >= 0) & (output <= 1 + SUM_TOLERANCE)).all(axis=1)
            sums = np.abs(output.sum(axis=1) - 1) <= SUM_TOLERANCE
            wrong = np.flatnonzero(~(ranges & sums))
            if wrong.size > 0:
                raise Refused(f"The model gives no probabilities for image {begin + wrong[0]}: let it end with Softmax")
            rows[begin:end] = output
            if end % BATCH == 0 and end < count:
                execution.report_progress(end / count)
        return rows


def _check_input(inputs: list) -> tuple[str, list[int], int]:
    """The input's name, the shape of an image, and how many the model takes at once."""

    def refuse(what: str) -> Refused:
        return Refused(f"The model takes {what}, and this plugin gives it float32 [batch, 64] or [batch, 1, 8, 8]")

    if len(inputs) != 1:
        raise refuse(f"{len(inputs)} inputs")
    (only,) = inputs
    batch, *image = only.shape or [None]
    if only.type != "tensor(float)" or image not in ([PIXELS], [1, 8, 8]) or (_is_known(batch) and batch != 1):
        raise refuse(_shown(only))
    return only.name, image, 1 if batch == 1 else BATCH


def _check_output(outputs: list) -> int:
    """The number of classes."""

    def refuse(what: str) -> Refused:
        return Refused(
            f"The model gives {what}, and this plugin wants one output, float32 [batch, 2 to {MAX_CLASSES} classes]"
        )

    if len(outputs) != 1:
        raise refuse(f"{len(outputs)} outputs")
    (only,) = outputs
    shape = only.shape
    if only.type != "tensor(float)" or len(shape) != 2 or not _is_known(shape[1]) or not 2 <= shape[1] <= MAX_CLASSES:
        raise refuse(_shown(only))
    return shape[1]


def _is_known(size: object) -> bool:
    return isinstance(size, int)


def _shown(value: onnxruntime.NodeArg) -> str:
    """A type and shape in words, such as `float32 [batch, 16]`."""
    kind = "float32" if value.type == "tensor(float)" else value.type
    return f"{kind} [{', '.join(str(size) if _is_known(size) else 'batch' for size in value.shape)}]"
