#!/bin/sh
# Serves the plugin on Node (24 or later), or on Deno where there is no such Node. With --check it only looks whether one is there.
file=$(dirname "$0")/plugin.ts
if node -e 'process.exit(parseInt(process.versions.node) < 24 ? 1 : 0)' 2>/dev/null; then
  [ "$1" = --check ] || exec node "$file" "$@"
elif command -v deno >/dev/null; then
  [ "$1" = --check ] || exec deno run --allow-all "$file" "$@"
else
  echo "run.sh: Node 24 or later or Deno 2 is needed, and Node is $(node --version 2>/dev/null || echo not there)" >&2
  exit 1
fi
