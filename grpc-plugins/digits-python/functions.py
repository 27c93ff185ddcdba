"""The functions; docs/ml-plugin.md tells what they take and answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from network import MAX_MODEL_BYTES, Execution, Network, Refused
from request import Request, read_images, read_labeled_images

BUILT_IN_MODEL = Path(__file__).resolve().parent / "../../wasm-plugins/digits/model/digits.onnx"


class Functions:
    """`models` is the folder of stored models. Without one, calls may name none; and they bring their own only when `takes_models`."""

    def __init__(self, models: Path | None = None, takes_models: bool = False) -> None:
        self._models, self._takes_models = models, takes_models
        self._built_in = Network(BUILT_IN_MODEL.read_bytes())

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
        if request.onnx is not None:
            if not self._takes_models:
                raise Refused("This plugin runs no models that calls bring (--take-models lets it)")
            network = Network(request.onnx)
        elif request.model is not None:
            network = Network(self._stored(request.model))
        else:
            network = self._built_in
        return network.predict(request.pixels, execution)

    def _stored(self, name: str) -> bytes:
        if self._models is None:
            raise Refused("This plugin reads no stored models (--models names their folder)")
        # Only what lies in the folder itself: a name with a path in it is none of its entries.
        path = next((entry for entry in self._models.iterdir() if entry.name == name and entry.is_file()), None)
        if path is None:
            raise Refused(f'The node has no file "{name}"')
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise Refused(f"The model of {size} bytes is too large: it may have at most {MAX_MODEL_BYTES}")
        return path.read_bytes()
