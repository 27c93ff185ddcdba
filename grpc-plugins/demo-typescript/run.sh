#!/bin/sh
# Serves the plugin on Node (24 or later), or on Deno where there is no Node.
file=$(dirname "$0")/plugin.ts
if command -v node >/dev/null; then exec node "$file" "$@"; fi
exec deno run --allow-all "$file" "$@"
