#!/usr/bin/env bash
# Builds every plugin here; with --check compares with what is checked in instead (tools/build-plugins.ts says more).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
exec "$root/node_modules/.bin/node" "$root/tools/build-plugins.ts" "$@"
