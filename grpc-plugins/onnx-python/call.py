"""What calls of such plugins have in common: a limit of their size, JSON or not, and the model that they want."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from pathlib import Path

from model import MAX_MODEL_BYTES, Model, Refused

MAX_INPUT_BYTES = 8 << 20  # 8 MiB
JSON_BEGINS = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*["}]')


@dataclass(frozen=True)
class ModelSource:
    """Which model a call wants: the built-in one when it says nothing."""

    name: str | None = None
    """The name of a stored model."""
    onnx: bytes | None = None
    """The bytes of an ONNX file."""

    @staticmethod
    def from_fields(fields: dict) -> ModelSource:
        name, onnx = fields.get("model"), fields.get("onnx")
        for field, value in (("model", name), ("onnx", onnx)):
            if value is not None and not isinstance(value, str):
                raise unknown_json(f"{field} is no text")
        if name is not None and onnx is not None:
            raise Refused('A call has "model" or "onnx", not both')
        return ModelSource(name, None if onnx is None else from_base64(onnx, "onnx"))


class Models:
    """`folder` has the stored models. Without one, calls may name none; and they bring their own only when `takes_models`."""

    def __init__(self, folder: Path | None = None, takes_models: bool = False) -> None:
        self._folder, self._takes_models = folder, takes_models

    def read(self, source: ModelSource) -> Model | None:
        """The model that a call brings or names; None where it wants the built-in one."""
        if source.onnx is not None:
            if not self._takes_models:
                raise Refused("This plugin runs no models that calls bring (--take-models lets it)")
            return Model(source.onnx)
        return None if source.name is None else Model(self._stored(source.name))

    def _stored(self, name: str) -> bytes:
        if self._folder is None:
            raise Refused("This plugin reads no stored models (--models names their folder)")
        # Only what lies in the folder itself: a name with a path in it is none of its entries.
        path = next((entry for entry in self._folder.iterdir() if entry.name == name and entry.is_file()), None)
        if path is None:
            raise Refused(f'The node has no file "{name}"')
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise Refused(f"The model of {size} bytes is too large: it may have at most {MAX_MODEL_BYTES}")
        return path.read_bytes()


def check_input_size(data: bytes, what: str) -> None:
    """Refuses an empty input and one that is too large. `what` are the things that a call sends, such as `images`."""
    if len(data) == 0:
        raise Refused(f"There are no {what}: the input is empty")
    if len(data) > MAX_INPUT_BYTES:
        raise Refused(f"The input of {len(data)} bytes is too large: send at most {MAX_INPUT_BYTES}")


def is_json(data: bytes) -> bool:
    """Whether an input is meant as a JSON object: a brace and a quotation mark, with white space around."""
    return JSON_BEGINS.match(data) is not None


def read_json(data: bytes) -> object:
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise unknown_json(error) from error


def read_fields(data: bytes, known: set[str]) -> dict:
    """A JSON object that has no other fields than the known ones."""
    fields = read_json(data)
    if not isinstance(fields, dict):
        raise unknown_json("it is no object")
    surplus = sorted(fields.keys() - known)
    if surplus:
        raise unknown_json(f"unknown field `{surplus[0]}`")
    return fields


def unknown_json(what: object) -> Refused:
    return Refused(f"The input is no JSON that this plugin knows: {what}")


def from_base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f'"{field}" is no base64') from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # which Python would take
