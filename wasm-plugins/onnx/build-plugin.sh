#!/usr/bin/env bash
# Builds a plugin of this workspace: build-plugin.sh digits digits.wasm. The same compiler gives the same bytes in any folder. With
# CARGO_TARGET_DIR set what is built stays there, for the next plugin.
#
# With Debian's packages rustc-web, cargo-web, rust-web-src and lld-19 the standard library is built from its source. With rustup, run
# `rustup target add wasm32-unknown-unknown` first and set RUSTC and CARGO if they are not on the PATH.
set -euo pipefail
plugin="$1"
out="$(realpath -m "$2")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=wasm32-unknown-unknown
if [ -z "${RUSTC:-}" ] && [ -x /usr/bin/rustc ] && [ -d /usr/share/doc/rust-web-src ]; then
  export RUSTC=/usr/bin/rustc
  CARGO=/usr/bin/cargo
fi
export RUSTC="${RUSTC:-rustc}"
CARGO="${CARGO:-cargo}"
sysroot="$("$RUSTC" --print sysroot)"

std=()
if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
  export RUSTC_BOOTSTRAP=1
  std=('-Zbuild-std=std,panic_abort')
  for linker in /usr/bin/wasm-ld-19 /usr/bin/wasm-ld; do
    if [ -x "$linker" ]; then
      export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
      break
    fi
  done
fi

work="${CARGO_TARGET_DIR:-}"
if [ -z "$work" ]; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
fi
# Where things lie on this machine must not reach the module: neither in panic messages nor in the hashes of symbols.
library="$(realpath "$sysroot/lib/rustlib/src/rust" 2>/dev/null || true)"
export CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}"
export CARGO_TARGET_DIR="$work" CARGO_INCREMENTAL=0
"$CARGO" fetch --locked --quiet
flags="--remap-path-prefix=$PWD=/plugins --remap-path-prefix=$work=/target --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rust"
if [ -n "$library" ]; then flags+=" --remap-path-prefix=$library=/rust"; fi
for registry in "$CARGO_HOME"/registry/src/*; do flags+=" --remap-path-prefix=$registry=/crates"; done
# Models draw random numbers by src/node.rs.
export RUSTFLAGS="$flags --cfg getrandom_backend=\"custom\""

"$CARGO" build --release --locked --quiet --lib --package "$plugin" --target "$target" "${std[@]}"
cp "$work/$target/release/$plugin.wasm" "$out"
