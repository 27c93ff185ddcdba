#!/usr/bin/env node
// Runs npm's forge with the arguments given. The launcher in node_modules/.bin exits with 0 even when tests fail; this one does as forge does.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(import.meta.url);
const platform = `${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
let binary;
try {
  binary = require.resolve(`@foundry-rs/forge-${platform}/bin/forge${process.platform === "win32" ? ".exe" : ""}`);
} catch {
  console.error(`npm has installed no forge for ${platform}. Run npm ci; if it helps not, this platform has none.`);
  process.exit(1);
}
const run = spawnSync(binary, process.argv.slice(2), { stdio: "inherit" });
if (run.error) console.error(`Cannot run ${binary}: ${run.error.message}`);
if (run.signal) console.error(`forge was ended by ${run.signal}`);
process.exit(run.status ?? 1);
