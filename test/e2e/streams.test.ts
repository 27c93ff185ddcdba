import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isDeno } from "../../src/core/mod.ts";
import { wasm } from "../plugins/host-fixture.ts";
import { caller, openPeers, spec } from "../rpc/client-harness.ts";
import { scratch, startNode } from "./harness.ts";
import { test } from "../testing.ts";

const MIB = 1 << 20;
const TOTAL = 100 * MIB;

/** What the process has of the machine's memory, in MiB. */
const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

test("a RunStream of 100 MiB goes through a WASM plugin while little of it is on its way", async (t) => {
  const node = await startNode(t, {
    dataDir: scratch(t),
    args: ["--tasks-max-input-bytes", "128MiB", "--tasks-max-output-bytes", "128MiB"],
  });
  const headers = { "content-type": "application/wasm" };
  const installed = await fetch(`${node.rest}/v1/plugins`, { method: "POST", headers, body: wasm("testing/stream") });
  assert.equal(installed.status, 201, await installed.text());
  const peers = openPeers();
  t.after(() => peers.close());
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let [given, taken, most] = [0, 0, 0];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; given < TOTAL; i++) {
      const piece = new Uint8Array(256 << 10).fill(i);
      sent.update(piece);
      given += piece.length;
      most = Math.max(most, given - taken);
      yield await Promise.resolve(piece);
    }
  }
  const task = spec("", {
    plugin: "stream",
    function: "echo",
    limits: { outputBytes: TOTAL, timeoutMs: 120_000, memoryBytes: MIB },
  });
  const before = residentMiB(node.child.pid!);
  let highest = before;
  for await (const event of peers.dial(node.rpc).runStream(task, source(), caller())) {
    if (event.type !== "chunk") continue;
    received.update(event.bytes);
    // Looked at now and then.
    if ((taken >> 22) !== ((taken + event.bytes.length) >> 22)) {
      highest = Math.max(highest, residentMiB(node.child.pid!));
    }
    taken += event.bytes.length;
  }
  assert.equal(taken, TOTAL);
  assert.equal(received.digest("hex"), sent.digest("hex"));
  const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
  console.log(
    `at most ${mib(most)} MiB were on their way; the node grew from ${before.toFixed(0)} to ${highest.toFixed(0)} MiB`,
  );
  // Deno's HTTP/2 client, which is this process, takes all that it is given.
  if (isDeno) return;
  assert(most <= 24 * MIB, `${most} bytes were on their way`);
});
