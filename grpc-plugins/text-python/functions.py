"""The functions; docs/text-plugin.md tells what they take and answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from call import Models
from model import Execution, Model, Refused
from network import Network
from request import Request, read_labeled_texts, read_texts
from serving import Function

BUILT_IN_MODEL = Path(__file__).resolve().parent / "../../wasm-plugins/text/model/languages.onnx"


def functions(models: Models) -> dict[str, Function]:
    texts = Texts(models)
    return {"language": texts.language, "embed": texts.embed, "evaluate": texts.evaluate}


class Texts:
    def __init__(self, models: Models) -> None:
        self._models = models
        self._built_in = Network(Model(BUILT_IN_MODEL.read_bytes()))

    def language(self, data: bytes, execution: Execution) -> dict:
        """Tells the language of each text, and how probable the model holds it."""
        request = read_texts(data, "language")
        network = self._network(request)
        _, probabilities = network.predict(request.texts, execution)
        languages = []
        for row in probabilities:
            best = int(row.argmax())
            code, name = network.labels[best]
            languages.append({"language": code, "name": name, "probability": _rounded(row[best])})
        return {"languages": languages}

    def embed(self, data: bytes, execution: Execution) -> dict:
        """Gives a unit vector for each text."""
        request = read_texts(data, "embed")
        embeddings, _ = self._network(request).predict(request.texts, execution)
        return {"embeddings": _rounded(embeddings)}

    def evaluate(self, data: bytes, execution: Execution) -> dict:
        """Tells the languages of texts whose labels are known, and counts how often the model was right."""
        request = read_labeled_texts(data)
        network = self._network(request)
        codes = [code for code, _ in network.labels]
        for label in request.labels:
            if label not in codes:
                raise Refused(f'The model has no label "{label}"')
        _, probabilities = network.predict(request.texts, execution)
        said = [codes[best] for best in probabilities.argmax(axis=1)]
        mistakes = [
            {"text": i, "label": label, "language": language}
            for i, (label, language) in enumerate(zip(request.labels, said))
            if label != language
        ]
        correct = len(said) - len(mistakes)
        return {
            "texts": len(said),
            "correct": correct,
            "accuracy": round(correct / len(said), 6),
            "mistakes": mistakes,
        }

    def _network(self, request: Request) -> Network:
        model = self._models.read(request.model)
        return self._built_in if model is None else Network(model)


def _rounded(values: np.ndarray | np.float32) -> list | float:
    """Six decimals: further ones are noise of the order in which a runtime adds."""
    return np.round(np.asarray(values, dtype=np.float64), 6).tolist()
