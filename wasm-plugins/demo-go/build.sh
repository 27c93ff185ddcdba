#!/usr/bin/env bash
# Builds demo-go.wasm, or with a path as the argument that file. The same Go gives the same bytes in any folder. Needs Go 1.24 or later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out="$(realpath -m "${1:-demo-go.wasm}")"
# A module's cache and version control must not reach the bytes.
GOOS=wasip1 GOARCH=wasm GOFLAGS=-mod=readonly go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-s -w -buildid=' \
  -o "$out" .
