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
  assert.throws(() => findAnvil({ named: "", roots: [join(empty, "package.json")], beside: empty, path: empty }), {
    code: "failed_precondition",
    message: /npm install -g @foundry-rs\/anvil.*ANVIL=/,
  });
});

test("anvil is found on the path, and behind npm's script the program itself, so that it can be ended", (t) => {
  const folder = scratch(t);
  const file = join(folder, NAME);
  writeFileSync(file, "");
  chmodSync(file, 0o755);
  const empty = scratch(t);
  const nowhere = { named: "", roots: [], beside: empty, path: empty };
  assert.equal(findAnvil({ ...nowhere, path: `${delimiter}${folder}` }), file);
  assert.equal(findAnvil({ ...nowhere, beside: folder }), file, "beside the executable");

  const bin = scratch(t);
  const real = findAnvil({ named: "" });
  // What a folder above has installed.
  const root = new URL("../../test/payments/none/package.json", import.meta.url);
  assert.equal(findAnvil({ ...nowhere, roots: [root.href] }), real);
  assert.equal(findAnvil({ named: file }), file, "what is named comes first");
  for (const named of [join(empty, "none"), empty]) {
    assert.throws(() => findAnvil({ named }), { code: "failed_precondition", message: /ANVIL names/ });
  }
  symlinkSync(new URL("../../node_modules/@foundry-rs/anvil/bin.mjs", import.meta.url), join(bin, NAME));
  assert.equal(findAnvil({ ...nowhere, path: bin }), real);
  assert.doesNotMatch(real, /\.mjs$/);
});
