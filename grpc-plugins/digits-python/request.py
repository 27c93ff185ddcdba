"""What a call sends: images as bytes, or JSON with images and a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from call import ModelSource, check_input_size, from_base64, is_json, read_fields, unknown_json
from model import Refused
from network import PIXELS

MAX_IMAGES = 4096
FIELDS = {"images", "labels", "model", "onnx"}


@dataclass(frozen=True)
class Request:
    pixels: np.ndarray
    """uint8 [images, 64]; at least one image."""
    labels: list[int]
    """One an image, or none at all."""
    model: ModelSource = ModelSource()


def read_images(data: bytes) -> Request:
    """Images without labels: 64 bytes each, or JSON. An image whose first pixels are 123 and 34 has to travel in JSON."""
    check_input_size(data, "images")
    if is_json(data):
        request = _from_json(data)
        if request.labels:
            raise Refused("classify takes no labels; evaluate does")
        return request
    return Request(_whole_records(data, PIXELS, "classify"), [])


def read_labeled_images(data: bytes) -> Request:
    """Images with labels: 65 bytes each, the last being the label, or JSON."""
    check_input_size(data, "images")
    if is_json(data):
        request = _from_json(data)
        if not request.labels:
            raise Refused('evaluate wants "labels", one an image')
        return request
    records = _whole_records(data, PIXELS + 1, "evaluate")
    return Request(records[:, :PIXELS], records[:, PIXELS].tolist())


def _from_json(data: bytes) -> Request:
    fields = read_fields(data, FIELDS)
    images, labels = fields.get("images"), fields.get("labels")
    if labels is not None and not (isinstance(labels, list) and all(_is_label(label) for label in labels)):
        raise unknown_json("labels is no list of whole numbers")
    model = ModelSource.from_fields(fields)
    if isinstance(images, str):
        pixels = _whole_records(from_base64(images, "images"), PIXELS, "images")
    elif isinstance(images, list) and all(isinstance(image, list) and all(map(_is_number, image)) for image in images):
        pixels = _from_lists(images)
    else:
        raise unknown_json("images is neither base64 nor lists of numbers")
    if labels and len(labels) != len(pixels):
        raise Refused(f"There are {len(labels)} labels for {len(pixels)} images")
    return Request(pixels, labels or [], model)


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


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
