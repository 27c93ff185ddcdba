"""Makes digits.onnx and heldout.bin from the digits data set that scikit-learn ships (1797 images of 8 by 8 pixels).

    python3 -m venv /tmp/digits && /tmp/digits/bin/pip install -r requirements.txt && /tmp/digits/bin/python train.py

The network is scikit-learn's MLPClassifier, 64 - 48 - 32 - 10, trained on four fifths of the images and written as ONNX with its
scaling and softmax inside. heldout.bin has the other fifth, 65 bytes an image: 64 pixels of 0 to 255, then the digit. Training is
seeded; another machine or version may give other weights in the last digits, which is why both files are checked in.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

FOLDER = Path(__file__).parent


def as_onnx(layers: list[tuple[np.ndarray, np.ndarray]], pixels: int) -> onnx.ModelProto:
    """The network as ONNX: float32 pixels [batch, pixels] of 0 to 255 in, probabilities [batch, classes] out."""
    weights = [numpy_helper.from_array(np.array(1 / 255, dtype=np.float32), "scale")]
    nodes = [helper.make_node("Mul", ["images", "scale"], ["x0"])]
    for i, (weight, bias) in enumerate(layers):
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(bias.astype(np.float32), f"b{i}"))
        last = i == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [f"x{i}", f"w{i}", f"b{i}"], ["logits" if last else f"y{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", pixels])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", layers[-1][1].size])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="train.py")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    digits = load_digits()
    images = np.rint(digits.data * (255 / 16)).astype(np.uint8)
    train, held_out, train_labels, labels = train_test_split(
        images, digits.target, test_size=0.2, random_state=1, stratify=digits.target
    )
    network = MLPClassifier((48, 32), alpha=1e-2, batch_size=32, learning_rate_init=2e-3, max_iter=300, random_state=1)
    network.fit(train / 255, train_labels)
    print(f"accuracy on the {len(labels)} held-out images: {network.score(held_out / 255, labels):.4f}")

    model = as_onnx(list(zip(network.coefs_, network.intercepts_)), 64)
    (FOLDER / "digits.onnx").write_bytes(model.SerializeToString())
    records = np.hstack([held_out, labels.astype(np.uint8)[:, None]])
    (FOLDER / "heldout.bin").write_bytes(records.tobytes())

    # A network of the same kind for halved images, which the plugins have to refuse, and one with other classes, which they take.
    rng = np.random.default_rng(1)
    narrow = as_onnx([(rng.normal(size=(16, 10)), np.zeros(10))], 16)
    (FOLDER / "other-shape.onnx").write_bytes(narrow.SerializeToString())
    even = MLPClassifier((16,), alpha=1e-2, max_iter=300, random_state=1)
    even.fit(train / 255, train_labels % 2)
    # scikit-learn ends a classifier of two classes in one sigmoid; softmax over (0, z) is the same.
    (w1, w2), (b1, b2) = even.coefs_, even.intercepts_
    two = [(w1, b1), (np.hstack([np.zeros_like(w2), w2]), np.concatenate([[0], b2]))]
    (FOLDER / "odd-even.onnx").write_bytes(as_onnx(two, 64).SerializeToString())

    # One that gives scores instead of probabilities, which the plugins refuse as well.
    scores = as_onnx(list(zip(network.coefs_, network.intercepts_))[:1], 64)
    del scores.graph.node[-1]
    scores.graph.output[0].name = "logits"
    onnx.checker.check_model(scores, full_check=True)
    (FOLDER / "no-softmax.onnx").write_bytes(scores.SerializeToString())


if __name__ == "__main__":
    main()
