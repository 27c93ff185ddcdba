#!/bin/sh
# Holds the RPC server stack and the client transport to the Connect conformance suite, and runs a Go plugin of the original kind
# behind the plugin host. Needs Go and the project's node_modules; downloads through the Go module proxy only.
#
#   test/conformance/run.sh            all, on Node, the server with and without front threads
#   RUNTIME=deno test/conformance/run.sh
#   CONFORMANCE_BIN=/some/folder       keeps the suite's program there between runs
set -eu

VERSION=v1.0.7
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
PATH="$root/node_modules/.bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
bin=${CONFORMANCE_BIN:-$work/bin}

case ${RUNTIME:-node} in
  node) set -- node --disable-warning=ExperimentalWarning ;;
  deno) set -- deno run --allow-all --no-check --quiet ;;
  *) echo "RUNTIME must be node or deno, not $RUNTIME" >&2; exit 2 ;;
esac

# Outside any module, so that no go.mod has a say.
cd "$work"
[ -x "$bin/connectconformance" ] ||
  GOBIN="$bin" GOFLAGS=-mod=mod go install "connectrpc.com/conformance/cmd/connectconformance@$VERSION"
module=$(GOFLAGS=-mod=mod go mod download -json "connectrpc.com/conformance@$VERSION" |
  node -e 'process.stdout.write(JSON.parse(require("node:fs").readFileSync(0, "utf8")).Dir)')
export CONFORMANCE_DESCRIPTORS="$work/conformance.binpb"
(cd "$module/proto" && buf build . -o "$CONFORMANCE_DESCRIPTORS")

cd "$root"
failed=
server() {
  "$bin/connectconformance" --mode server --conf "$here/server.yaml" --max-servers 2 --parallel 4 \
    --known-failing "@$here/server-known-failing.txt" --known-flaky "@$here/server-known-flaky.txt" \
    -- "$@" "$here/server.ts"
}
echo "== server ($1)"
server "$@" || failed="$failed server"
if [ "$1" = node ]; then
  echo "== server behind a front thread"
  VELAS_TEST_FRONTS=1 server "$@" || failed="$failed fronts"
fi
echo "== client ($1)"
"$bin/connectconformance" --mode client --conf "$here/client.yaml" --max-servers 2 \
  -- "$@" "$here/client.ts" || failed="$failed client"
echo "== Go plugin (node)"
node --disable-warning=ExperimentalWarning --test "$here/go-plugin.ts" || failed="$failed go-plugin"

if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
