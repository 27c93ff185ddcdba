import assert from "node:assert/strict";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { findAnvil } from "../../src/payments/local-chain.ts";
import { scratch } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const NAME = process.platform === "win32" ? "anvil.exe" : "anvil";

test("without anvil the local chain says what to install", (t) => {
  const empty = scratch(t);
  assert.throws(() => findAnvil({ roots: [join(empty, "package.json")], path: empty }), {
    code: "failed_precondition",
    message: /npm install @foundry-rs\/anvil/,
  });
});

test("anvil is found on the path, and behind npm's script the program itself, so that it can be ended", (t) => {
  const folder = scratch(t);
  const file = join(folder, NAME);
  writeFileSync(file, "");
  chmodSync(file, 0o755);
  assert.equal(findAnvil({ roots: [], path: `${delimiter}${folder}` }), file);

  const bin = scratch(t);
  const real = findAnvil();
  symlinkSync(new URL("../../node_modules/@foundry-rs/anvil/bin.mjs", import.meta.url), join(bin, NAME));
  assert.equal(findAnvil({ roots: [], path: bin }), real);
  assert.doesNotMatch(real, /\.mjs$/);
});
