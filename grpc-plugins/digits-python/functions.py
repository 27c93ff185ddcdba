"""The functions; docs/ml-plugin.md tells what they take and answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from call import Models
from model import Execution, Model, Refused
from network import Network
from request import Request, read_images, read_labeled_images
from serving import Function

BUILT_IN_MODEL = Path(__file__).resolve().parent / "../../wasm-plugins/digits/model/digits.onnx"


def functions(models: Models) -> dict[str, Function]:
    digits = Digits(models)
    return {"classify": digits.classify, "evaluate": digits.evaluate}


class Digits:
    def __init__(self, models: Models) -> None:
        self._models = models
        self._built_in = Network(Model(BUILT_IN_MODEL.read_bytes()))

    def classify(self, data: bytes, execution: Execution) -> dict:
        """Tells the class of each image, and the probability of each class."""
        rows = self._predict(read_images(data), execution)
        return {
            "classes": rows.argmax(axis=1).tolist(),
            # Six decimals: further ones are noise of the order in which a runtime adds.
            "probabilities": np.round(rows.astype(np.float64), 6).tolist(),
        }

    def evaluate(self, data: bytes, execution: Execution) -> dict:
        """Classifies images whose classes are known, and counts how often the model was right."""
        request = read_labeled_images(data)
        rows = self._predict(request, execution)
        known = rows.shape[1]
        for i, label in enumerate(request.labels):
            if label >= known:
                raise Refused(f"Label {i} is {label}, and the model has the classes 0 to {known - 1}")
        confusion = np.zeros((known, known), dtype=np.int64)
        np.add.at(confusion, (np.array(request.labels), rows.argmax(axis=1)), 1)
        correct = int(confusion.trace())
        return {
            "images": len(rows),
            "correct": correct,
            "accuracy": round(correct / len(rows), 6),
            "confusion": confusion.tolist(),
        }

    def _predict(self, request: Request, execution: Execution) -> np.ndarray:
        model = self._models.read(request.model)
        network = self._built_in if model is None else Network(model)
        return network.predict(request.pixels, execution)
