#!/usr/bin/env bash
# Makes .venv with the pinned packages, and gen/ with the messages of proto/. PYTHON names an interpreter, 3.11 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
proto=../../proto

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-build.txt
rm -rf gen
mkdir gen
files=("$proto"/velas/sphere/v1/{node,plugin,task}.proto "$proto"/buf/validate/validate.proto)
.venv/bin/python -m grpc_tools.protoc -I "$proto" --python_out=gen --grpc_python_out=gen "${files[@]}"
