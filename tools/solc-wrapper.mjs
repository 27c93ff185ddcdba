#!/usr/bin/env node
// The Solidity compiler of npm's `solc` package as the command that forge calls: `--version`, and `--standard-json` from standard input to
// standard output. The compiler itself is WebAssembly, so it runs wherever Node does.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const solc = createRequire(import.meta.url)("solc");

/** Writes all of a text to standard output; a pipe may take it in pieces. */
function print(text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

if (process.argv.includes("--version")) {
  print(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  print(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error("solc-wrapper.mjs answers only --version and --standard-json");
  process.exit(2);
}
