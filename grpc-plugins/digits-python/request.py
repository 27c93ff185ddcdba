"""What a call sends: images as bytes, or JSON with images and a model."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

import numpy as np

from network import PIXELS, Refused

MAX_IMAGES = 4096
MAX_INPUT_BYTES = 8 << 20  # 8 MiB
FIELDS = {"images", "labels", "model", "onnx"}
# An image whose first pixels are 123 and 34 has to travel in JSON.
JSON_BEGINS = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*["}]')


@dataclass(frozen=True)
class Request:
    pixels: np.ndarray
    """uint8 [images, 64]; at least one image."""
    labels: list[int]
    """One an image, or none at all."""
    model: str | None = None
    """The name of a stored model."""
    onnx: bytes | None = None
    """The bytes of an ONNX file."""


def read_images(data: bytes) -> Request:
    """Images without labels: 64 bytes each, or JSON."""
    _check_input_size(data)
    if JSON_BEGINS.match(data):
        request = _from_json(data)
        if request.labels:
            raise Refused("classify takes no labels; evaluate does")
        return request
    return Request(_whole_records(data, PIXELS, "classify"), [])


def read_labeled_images(data: bytes) -> Request:
    """Images with labels: 65 bytes each, the last being the label, or JSON."""
    _check_input_size(data)
    if JSON_BEGINS.match(data):
        request = _from_json(data)
        if not request.labels:
            raise Refused('evaluate wants "labels", one an image')
        return request
    records = _whole_records(data, PIXELS + 1, "evaluate")
    return Request(records[:, :PIXELS], records[:, PIXELS].tolist())


def _from_json(data: bytes) -> Request:
    def unknown(what: object) -> Refused:
        return Refused(f"The input is no JSON that this plugin knows: {what}")

    try:
        fields = json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise unknown(error) from error
    surplus = sorted(fields.keys() - FIELDS)
    if surplus:
        raise unknown(f"unknown field `{surplus[0]}`")
    images, labels = fields.get("images"), fields.get("labels")
    model, onnx = fields.get("model"), fields.get("onnx")
    for name, value in (("model", model), ("onnx", onnx)):
        if value is not None and not isinstance(value, str):
            raise unknown(f"{name} is no text")
    if labels is not None and not (isinstance(labels, list) and all(_is_label(label) for label in labels)):
        raise unknown("labels is no list of whole numbers")
    if model is not None and onnx is not None:
        raise Refused('A call has "model" or "onnx", not both')
    content = None if onnx is None else _from_base64(onnx, "onnx")
    if isinstance(images, str):
        pixels = _whole_records(_from_base64(images, "images"), PIXELS, "images")
    elif isinstance(images, list) and all(isinstance(image, list) and all(map(_is_number, image)) for image in images):
        pixels = _from_lists(images)
    else:
        raise unknown("images is neither base64 nor lists of numbers")
    if labels and len(labels) != len(pixels):
        raise Refused(f"There are {len(labels)} labels for {len(pixels)} images")
    return Request(pixels, labels or [], model, content)


def _check_input_size(data: bytes) -> None:
    if len(data) == 0:
        raise Refused("There are no images: the input is empty")
    if len(data) > MAX_INPUT_BYTES:
        raise Refused(f"The input of {len(data)} bytes is too large: send at most {MAX_INPUT_BYTES}")


def _whole_records(data: bytes, size: int, what: str) -> np.ndarray:
    if len(data) == 0 or len(data) % size != 0:
        raise Refused(f"{what} takes {size} bytes an image, and {len(data)} bytes are no multiple of that")
    _check_count(len(data) // size)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, size)


def _check_count(count: int) -> None:
    if count == 0:
        raise Refused("There are no images: the list is empty")
    if count > MAX_IMAGES:
        raise Refused(f"{count} images are too many for a call: send at most {MAX_IMAGES}")


def _from_lists(images: list[list]) -> np.ndarray:
    _check_count(len(images))
    for i, image in enumerate(images):
        if len(image) != PIXELS:
            raise Refused(f"Image {i} has {len(image)} pixels, and the model takes {PIXELS}")
        if not all(_is_pixel(pixel) for pixel in image):
            raise Refused(f"Image {i} has a pixel that is no whole number from 0 to 255")
    return np.array(images, dtype=np.uint8)


def _is_pixel(value: float) -> bool:
    return 0 <= value <= 255 and value == int(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # which Python would take


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _from_base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f'"{field}" is no base64') from error
