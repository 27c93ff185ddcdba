#!/usr/bin/env bash
# Builds digits.wasm, or with a path as the argument that file; ../onnx/build-plugin.sh says with what.
set -euo pipefail
folder="$(dirname "${BASH_SOURCE[0]}")"
exec bash "$folder/../onnx/build-plugin.sh" digits "${1:-$folder/digits.wasm}"
