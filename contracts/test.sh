#!/usr/bin/env bash
# Checks the contracts, offline, after `npm ci`: format, lint, unit tests, fuzzing, invariants, gas against .gas-snapshot/. Arguments go to
# `forge test`.
#   FOUNDRY_PROFILE=deep contracts/test.sh   a million calls for each invariant, 20,000 runs for each fuzz test: about an hour
#   contracts/test.sh --coverage             which lines and branches the tests reach
#   contracts/test.sh --fuzz-seed 7          other random inputs than the fixed ones of CI
#   FORGE_SNAPSHOT_CHECK=false contracts/test.sh --match-contract Gas   writes .gas-snapshot/ anew
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH" FOUNDRY_DISABLE_NIGHTLY_WARNING=1

if [ "${1:-}" = --coverage ]; then
  exec tools/forge.mjs coverage --no-match-contract 'Invariants|Gas' --no-match-coverage contracts/test
fi
tools/forge.mjs fmt --check
tools/forge.mjs lint contracts/src
tools/forge.mjs test "$@"
