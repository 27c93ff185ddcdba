#!/usr/bin/env bash
# Builds ./plugin with Go 1.25 or later. velas/*.pb.go are generated from plugin.proto by protoc-gen-go and protoc-gen-go-grpc.
set -euo pipefail
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o plugin .
