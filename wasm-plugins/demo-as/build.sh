#!/usr/bin/env bash
# Builds demo-as.wasm, or with a path as the argument that file. Needs the npm package assemblyscript, here or in a folder above.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out="${1:-demo-as.wasm}"
asc="$(node -p 'require.resolve("assemblyscript/bin/asc.js")' 2>/dev/null)" || {
  echo "build.sh: the compiler is not there: npm install assemblyscript" >&2
  exit 1
}
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp ./*.ts "$work"
node "$asc" "$work/plugin.ts" --baseDir "$work" --outFile out.wasm -O3 --use abort=velas/abort
cp "$work/out.wasm" "$out"
