/** `POST /v1/receipts/check`: receipts of the vectors, whole and changed. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "../testing.ts";
import { postJson, serve } from "./harness.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/task-receipt.json", import.meta.url), "utf8"));

test("a receipt of the vectors is signed, and one of which anything was changed is not", async (t) => {
  const { url } = await serve(t);
  for (const name of ["free", "paid", "gpu", "nondeterministic"]) {
    const { receipt } = vectors[name];
    for (
      const [changed, signed] of [
        [receipt, true],
        [{ ...receipt, outputSha256: "00".repeat(32) }, false],
        [{ ...receipt, provider: receipt.requester }, false],
        [{ ...receipt, signature: "0x00" }, false],
      ]
    ) {
      const answer = await postJson(`${url}/v1/receipts/check`, changed);
      assert.deepEqual([answer.status, await answer.json()], [200, { signed }], name);
    }
  }
});

test("what is no receipt is refused, with the name of what is wrong", async (t) => {
  const { url } = await serve(t);
  const { key: _, ...keyless } = vectors.free.receipt;
  for (const [wrong, named] of [[{ ...vectors.free.receipt, version: 9 }, /version/], [keyless, /key/]] as const) {
    const answer = await postJson(`${url}/v1/receipts/check`, wrong);
    const problem = await answer.json() as { code: string; detail: string };
    assert.deepEqual([answer.status, problem.code], [400, "invalid_argument"]);
    assert.match(problem.detail, named);
  }
});
