#!/usr/bin/env bash
# Installs what the plugin needs. gen/ holds the code for plugin.proto and for gRPC's health service.
set -euo pipefail
cd "$(dirname "$0")"
sh run.sh --check
npm install --no-audit --no-fund --silent
