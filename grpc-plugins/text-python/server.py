"""Serves functions.py.

    ../onnx-python/.venv/bin/python server.py --listen 127.0.0.1:8082
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "../onnx-python"))  # what both plugins with models share

from functions import functions  # noqa: E402
from serving import serve  # noqa: E402

if __name__ == "__main__":
    serve("text-python", FOLDER / "../../wasm-plugins/text/manifest.json", functions)
