"""An ONNX model that takes images and gives probabilities."""

from __future__ import annotations

import numpy as np

from model import Execution, Model, Refused, Slot, first_improbable

PIXELS = 64
MAX_CLASSES = 1000
# Images that run at once: bounds the memory of a call, and paces its progress.
BATCH = 256


class Network:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._image, self._batch = _check_input(model.inputs)
        self.classes = _check_output(model.outputs)

    def predict(self, pixels: np.ndarray, execution: Execution) -> np.ndarray:
        """The probabilities of each image's classes, [images, classes]. `pixels` is uint8 [images, 64]."""
        count = len(pixels)
        rows = np.empty((count, self.classes), dtype=np.float32)
        for begin in range(0, count, self._batch):
            images = pixels[begin : begin + self._batch]
            end = begin + len(images)
            values = images.astype(np.float32).reshape(len(images), *self._image)
            (output,) = self._model.run(values, execution)
            if output.shape[1] != self.classes:
                raise Refused(f"The model gave {output.shape[1]} values an image for {self.classes} classes")
            wrong = first_improbable(output)
            if wrong is not None:
                raise Refused(f"The model gives no probabilities for image {begin + wrong}: let it end with Softmax")
            rows[begin:end] = output
            if end % BATCH == 0 and end < count:
                execution.report_progress(end / count)
        return rows


def _check_input(inputs: list[Slot]) -> tuple[list[int], int]:
    """The shape of an image, and how many the model takes at once."""

    def refuse(what: str) -> Refused:
        return Refused(f"The model takes {what}, and this plugin gives it float32 [batch, 64] or [batch, 1, 8, 8]")

    if len(inputs) != 1:
        raise refuse(f"{len(inputs)} inputs")
    (only,) = inputs
    image, one = only.batched() or (None, False)
    if image not in ([PIXELS], [1, 8, 8]):
        raise refuse(only.shown)
    return image, 1 if one else BATCH


def _check_output(outputs: list[Slot]) -> int:
    """The number of classes."""

    def refuse(what: str) -> Refused:
        return Refused(
            f"The model gives {what}, and this plugin wants one output, float32 [batch, 2 to {MAX_CLASSES} classes]"
        )

    if len(outputs) != 1:
        raise refuse(f"{len(outputs)} outputs")
    (only,) = outputs
    classes = only.row_width()
    if classes is None or not 2 <= classes <= MAX_CLASSES:
        raise refuse(only.shown)
    return classes
