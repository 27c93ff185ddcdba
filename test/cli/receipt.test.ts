/** `velas-sphere task check-receipt`: receipts that were kept, checked offline. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReceiptSigner, nodeKeyOf, type TaskReceipt } from "../../src/core/mod.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/task-receipt.json", import.meta.url), "utf8"));
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** A folder with files, and a run of the command in it. */
function folderWith(t: { after(f: () => void): void }, files: Readonly<Record<string, unknown>>) {
  const cwd = mkdtempSync(join(tmpdir(), "velas-receipt-"));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(cwd, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return (args: readonly string[], input?: string) =>
    runHere(["task", "check-receipt", ...args], { cwd, ...(input !== undefined && { input }) });
}

test("receipts of every version hold, and one of which anything was changed ends with 11", async (t) => {
  for (const name of ["free", "paid", "gpu", "nondeterministic"]) {
    const receipt: TaskReceipt = vectors[name].receipt;
    const check = folderWith(t, { good: receipt, bad: { ...receipt, outputSha256: "00".repeat(32) } });
    const good = await check(["good"]);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /signature +good/);
    assert.match(good.stdout, new RegExp(receipt.provider));
    assert.deepEqual(JSON.parse((await check(["-", "--json"], JSON.stringify(receipt))).stdout), { signed: true });
    const bad = await check(["bad", "--json"]);
    assert.equal(bad.code, 11);
    assert.deepEqual(JSON.parse(bad.stdout), { signed: false });
    assert.match(bad.stderr, new RegExp(`target_misbehaved.*not signed by ${receipt.provider}`));
  }
});

test("a receipt is compared with the input, the output and the provider", async (t) => {
  const key = nodeKeyOf(new Uint8Array(32).fill(7));
  const record = { ...vectors.record, inputSha256: sha256("hello"), outputSha256: sha256("world") };
  const check = folderWith(t, { r: createReceiptSigner(key).sign(record), input: "hello", output: "world" });
  const whole = await check(["r", "--input", "input", "--output", "output", "--provider", key.nodeId, "--json"]);
  assert.equal(whole.code, 0, whole.stderr);
  assert.deepEqual(JSON.parse(whole.stdout), {
    signed: true,
    providerMatches: true,
    inputMatches: true,
    outputMatches: true,
  });
  const other = await check(["r", "--input", "-", "--output", "input", "--json"], "hello");
  assert.equal(other.code, 11);
  assert.deepEqual(JSON.parse(other.stdout), { signed: true, inputMatches: true, outputMatches: false });
  assert.match(other.stderr, /data_corrupt.*input has the SHA-256 2cf24d.*, and the receipt names the output 486ea4/);
  const stranger = await check(["r", "--provider", vectors.record.requester]);
  assert.equal(stranger.code, 11);
  assert.match(stranger.stderr, new RegExp(`names the provider ${key.nodeId}, not ${vectors.record.requester}`));
});

test("what is no receipt is named and ends with 2, and what is not there with 4", async (t) => {
  const { key: _, ...keyless } = vectors.free.receipt;
  const check = folderWith(t, {
    text: "no JSON",
    empty: "null",
    version: { ...vectors.free.receipt, version: 9 },
    keyless,
    usage: { ...vectors.free.receipt, usage: {} },
    time: { ...vectors.free.receipt, finishedAt: 1e300 },
    terms: { ...vectors.free.receipt, terms: {} },
    causes: { ...vectors.free.receipt, nondeterministic: "clock" },
  });
  const wrong = {
    text: /text holds no receipt: it is not JSON/,
    empty: /no object/,
    version: /version is 9/,
    keyless: /its key is no text/,
    usage: /usage is not complete/,
    time: /finishedAt is no time/,
    terms: /terms are not complete/,
    causes: /nondeterministic is no list/,
  };
  for (const [name, message] of Object.entries(wrong)) {
    const { code, stdout, stderr } = await check([name]);
    assert.deepEqual([code, stdout], [2, ""], name);
    assert.match(stderr, message);
  }
  assert.equal((await check(["absent"])).code, 4);
  assert.equal((await check(["-", "--input", "-"])).code, 2);
});
