#!/usr/bin/env bash
# Makes a virtual environment with what the plugin needs, and the code for plugin.proto.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m grpc_tools.protoc -I. -I.. --python_out=. --grpc_python_out=. plugin.proto
