"""What a call sends: one text, JSON lines of texts, or JSON with texts and a model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from call import ModelSource, check_input_size, is_json, read_fields, read_json, unknown_json
from model import Refused

MAX_TEXTS = 4096
MAX_TEXT_BYTES = 64 << 10  # 64 KiB
FIELDS = {"texts", "labels", "model", "onnx"}
HALF = re.compile("[\ud800-\udfff]")
WHITE = " \t\r\n"


@dataclass(frozen=True)
class Request:
    texts: list[str]
    """At least one."""
    labels: list[str]
    """One a text, or none at all."""
    model: ModelSource = ModelSource()


def read_texts(data: bytes, name: str) -> Request:
    """Texts without labels, for the function `name`. One that begins with `"` or `{"` has to travel in JSON."""
    check_input_size(data, "texts")
    if is_json(data):
        request = _from_json(data)
        if request.labels:
            raise Refused(f"{name} takes no labels; evaluate does")
        return request
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"The input is no UTF-8 from byte {error.start}") from error
    texts = _from_lines(text) if text.lstrip(WHITE).startswith('"') else [text]
    _check_texts(texts)
    return Request(texts, [])


def read_labeled_texts(data: bytes) -> Request:
    """Texts with labels, in JSON."""
    check_input_size(data, "texts")
    request = _from_json(data)
    if not request.labels:
        raise Refused('evaluate wants "labels", one a text')
    return request


def _from_json(data: bytes) -> Request:
    fields = read_fields(data, FIELDS)
    texts, labels = fields.get("texts"), fields.get("labels")
    if not _are_texts(texts):
        raise unknown_json("texts is no list of texts")
    if labels is not None and not _are_texts(labels):
        raise unknown_json("labels is no list of texts")
    model = ModelSource.from_fields(fields)
    _check_texts(texts)
    if labels and len(labels) != len(texts):
        raise Refused(f"There are {len(labels)} labels for {len(texts)} texts")
    return Request(texts, labels or [], model)


def _from_lines(text: str) -> list[str]:
    """A JSON string each line; lines of white space alone are passed over."""
    texts = []
    for i, line in enumerate(text.split("\n")):
        if not line.strip(WHITE):
            continue
        try:
            texts.append(read_json(line.encode()))
        except Refused:
            texts.append(None)
        if not _are_texts(texts[-1:]):
            raise Refused(f"Line {i + 1} is no JSON string")
    return texts


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and _is_unicode(text) for text in value)


def _is_unicode(text: str) -> bool:
    """Whether there is no half of a character in it, which Python's JSON takes."""
    return HALF.search(text) is None


def _check_texts(texts: list[str]) -> None:
    if not texts:
        raise Refused("There are no texts: the list is empty")
    if len(texts) > MAX_TEXTS:
        raise Refused(f"{len(texts)} texts are too many for a call: send at most {MAX_TEXTS}")
    for i, text in enumerate(texts):
        size = len(text.encode())
        if size > MAX_TEXT_BYTES:
            raise Refused(f"Text {i} has {size} bytes, and a text may have at most {MAX_TEXT_BYTES}")
