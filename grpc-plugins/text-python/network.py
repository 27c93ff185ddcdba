"""An ONNX model that takes counts of n-grams, and gives an embedding and probabilities."""

from __future__ import annotations

import numpy as np

from model import Execution, Model, Refused, Slot, first_improbable
from ngrams import count

LEAST_BUCKETS, MOST_BUCKETS = 256, 65_536
LEAST_WIDTH, MOST_WIDTH = 2, 1000
# Texts that run at once: bounds the memory of a call, and paces its progress.
BATCH = 64
# How far from 1 the length of an embedding may be.
LENGTH_TOLERANCE = 1e-3


class Network:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._buckets, self._batch = _check_input(model.inputs)
        self._width, classes = _check_outputs(model.outputs)
        lines = model.metadata("labels").splitlines()
        self.labels = [(code, name or code) for code, _, name in (line.partition(" ") for line in lines)]
        """What the columns of the probabilities mean, which the model's file calls `code` or `code name`."""
        if len(lines) != classes:
            raise Refused(f"The model names {len(lines)} labels in its metadata for {classes} classes")

    def predict(self, texts: list[str], execution: Execution) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings [texts, width] and probabilities [texts, labels]."""
        total = len(texts)
        embeddings = np.empty((total, self._width), dtype=np.float32)
        probabilities = np.empty((total, len(self.labels)), dtype=np.float32)
        for begin in range(0, total, self._batch):
            end = min(begin + self._batch, total)
            counts = np.zeros((end - begin, self._buckets), dtype=np.float32)
            for i, row in enumerate(counts, begin):
                if not count(texts[i], row):
                    raise Refused(f"Text {i} has no letters")
            outputs = self._model.run(counts, execution)
            for output, rows, what in ((outputs[0], embeddings, "dimensions"), (outputs[1], probabilities, "classes")):
                if output.shape[1] != rows.shape[1]:
                    raise Refused(f"The model gave {output.shape[1]} values a text for {rows.shape[1]} {what}")
                rows[begin:end] = output
            lengths = np.sqrt((outputs[0] * outputs[0]).sum(axis=1))
            # A comparison with NaN is false, so NaN is refused too.
            astray = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH_TOLERANCE))
            if astray.size > 0:
                raise Refused(f"The model gives no unit vector for text {begin + astray[0]}: let it divide by the length")
            wrong = first_improbable(outputs[1])
            if wrong is not None:
                raise Refused(f"The model gives no probabilities for text {begin + wrong}: let it end with Softmax")
            if end % BATCH == 0 and end < total:
                execution.report_progress(end / total)
        return embeddings, probabilities


def _check_input(inputs: list[Slot]) -> tuple[int, int]:
    """The number of buckets, and how many texts the model takes at once."""

    def refuse(what: str) -> Refused:
        return Refused(
            f"The model takes {what}, and this plugin gives it float32 [batch, {LEAST_BUCKETS} to {MOST_BUCKETS} buckets]"
        )

    if len(inputs) != 1:
        raise refuse(f"{len(inputs)} inputs")
    (only,) = inputs
    sizes, one = only.batched() or ([], False)
    if len(sizes) != 1 or not LEAST_BUCKETS <= sizes[0] <= MOST_BUCKETS:
        raise refuse(only.shown)
    return sizes[0], 1 if one else BATCH


def _check_outputs(outputs: list[Slot]) -> tuple[int, int]:
    """How wide an embedding is, and the number of classes."""

    def refuse(what: str) -> Refused:
        return Refused(
            f"The model gives {what}, and this plugin wants an embedding and probabilities, "
            f"float32 [batch, {LEAST_WIDTH} to {MOST_WIDTH}] each"
        )

    if len(outputs) != 2:
        raise refuse(f"{len(outputs)} outputs")
    for output in outputs:
        width = output.row_width()
        if width is None or not LEAST_WIDTH <= width <= MOST_WIDTH:
            raise refuse(output.shown)
    return outputs[0].row_width(), outputs[1].row_width()
