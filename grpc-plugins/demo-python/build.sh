#!/usr/bin/env bash
# Makes a virtual environment with what the plugin needs, and the code for plugin.proto. PYTHON names another python3.
set -euo pipefail
cd "$(dirname "$0")"
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "build.sh: Python 3.10 or later is needed, and $python is $("$python" --version 2>&1); PYTHON names another" >&2
  exit 1
fi
"$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m grpc_tools.protoc -I. -I.. --python_out=. --grpc_python_out=. plugin.proto
