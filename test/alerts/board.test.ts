import assert from "node:assert/strict";
import {
  AlertBoard,
  type AlertChange,
  certificateExpiring,
  chainStale,
  channelLow,
  failingAudits,
  lowDisk,
  type Probe,
} from "../../src/alerts/mod.ts";
import { type ChannelView, type LogFields, silentLog, wei } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { TEST_CERT } from "../rpc/tls-keys.ts";
import { test } from "../testing.ts";

const raised = { raised: true };
const calm = { raised: false };

function boardOf(...probes: Probe[]) {
  const clock = { nowMs: 1000, now: () => clock.nowMs };
  const lines: { message: string; fields: LogFields | undefined }[] = [];
  const line = (message: string, fields?: LogFields) => void lines.push({ message, fields });
  const metrics = createMetrics({ processMetrics: false });
  const changes: AlertChange[] = [];
  const log = { ...silentLog, info: line, warn: line };
  const board = new AlertBoard({
    probes,
    everyMs: 60_000,
    clock,
    log,
    metrics,
    onChange: (change) => changes.push(change),
  });
  return { board, clock, lines, metrics, changes };
}

test("an alert is raised once, keeps its time, and is cleared once: in the log, the metric and the list", async () => {
  let free = 100;
  const probe = lowDisk({ path: "/data", minFreeBytes: () => 100, freeBytes: () => Promise.resolve(free) });
  const { board, clock, lines, metrics, changes } = boardOf(probe);
  const value = () => metrics.read("velas_alert", { name: "low_disk" });
  await board.check();
  assert.deepEqual([board.list().length, value()], [0, 0]);
  free = 99;
  await board.check();
  clock.nowMs += 500;
  await board.check();
  assert.deepEqual(board.list().map(({ name, since }) => [name, since]), [["low_disk", 1000]]);
  assert.match(board.list()[0]!.message, /\/data.*alerts\.minFreeBytes/);
  assert.equal(value(), 1);
  free = 105;
  await board.check();
  assert.equal(board.list().length, 1, "a little more is not enough");
  free = 120;
  await board.check();
  assert.deepEqual([board.list().length, value()], [0, 0]);
  assert.deepEqual(lines.map(({ message }) => message), ["Alert raised", "Alert cleared"]);
  assert.equal(lines[1]!.fields!["lastedMs"], 500);
  assert.deepEqual(changes.map(({ type }) => type), ["raised", "cleared"]);
});

test("a probe that fails changes nothing and keeps no other from being asked", async () => {
  let fails = false;
  const { board, lines } = boardOf(
    { name: "chain_stale", check: () => fails ? Promise.reject(new Error("no")) : "stale" },
    { name: "low_disk", check: () => fails ? "full" : undefined },
  );
  await board.check();
  fails = true;
  await board.check();
  assert.deepEqual(board.list().map(({ name }) => name), ["chain_stale", "low_disk"]);
  assert(lines.some(({ message }) => /probe failed/.test(message)));
});

test("lowDisk() asks the file system", async () => {
  const path = new URL(".", import.meta.url).pathname;
  assert.match(String(await lowDisk({ path, minFreeBytes: () => 2 ** 60 }).check(calm)), /MiB are free/);
  assert.equal(await lowDisk({ path, minFreeBytes: () => 0 }).check(calm), undefined);
});

test("failingAudits() looks at the window only, and at a share", async () => {
  const clock = { nowMs: 0, now: () => clock.nowMs };
  let counts = { proven: 5, failed: 5 };
  const probe = failingAudits({ counts: () => counts, windowMs: 1000, maxPercent: () => 10, clock });
  assert.equal(await probe.check(calm), undefined, "what was before the start does not count");
  clock.nowMs = 100;
  counts = { proven: 14, failed: 6 };
  assert.equal(await probe.check(calm), undefined, "1 of 10 is 10 %");
  clock.nowMs = 200;
  counts = { proven: 14, failed: 7 };
  assert.match(String(await probe.check(calm)), /2 of 11 audits.*file health/);
  clock.nowMs = 1200;
  counts = { proven: 30, failed: 7 };
  assert.equal(await probe.check(raised), undefined);
});

test("channelLow() names the channel, and counts only open ones that this node pays on", async () => {
  const channel = (change: Partial<ChannelView>): ChannelView => ({
    channelId: `0x${"1".repeat(64)}`,
    role: "payer",
    peer: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    target: "p.example:8081",
    token: "0x0000000000000000000000000000000000000000",
    deposit: wei(1000n),
    charged: wei(901n),
    paid: wei(901n),
    claimed: wei(0n),
    items: 1,
    state: "open",
    ...change,
  });
  const check = (channels: ChannelView[], options = calm) =>
    channelLow({ channels: () => channels, minPercent: () => 10 }).check(options);
  assert.match(String(await check([channel({})])), /p\.example:8081 has 99 of 1000 left.*topup 0x1111/);
  assert.match(String(await check([channel({ charged: wei(1001n) }), channel({})])), /0 of 1000.*1 more/);
  assert.equal(await check([channel({ charged: wei(900n) })]), undefined);
  assert.match(String(await check([channel({ charged: wei(900n) })], raised)), /100 of 1000/);
  for (const other of [{ role: "payee" }, { state: "exiting" }, { deposit: wei(0n) }] as const) {
    assert.equal(await check([channel(other)]), undefined);
  }
});

test("chainStale() and certificateExpiring() tell what they watch", async () => {
  const chain = { isWell: true, head: 7n, healthy: () => chain.isWell };
  assert.equal(await chainStale(chain).check(calm), undefined);
  chain.isWell = false;
  assert.match(String(await chainStale(chain).check(calm)), /block 7/);

  const pem = new TextEncoder().encode(TEST_CERT);
  const check = (nowMs: number, pems: Uint8Array[] = [pem]) =>
    certificateExpiring({
      certificates: () => pems.map((each) => ({ setting: "rpc.tlsCertFile", pem: each })),
      minMs: () => 14 * 86_400_000,
      clock: { now: () => nowMs },
    }).check(calm);
  const { X509Certificate } = await import("node:crypto");
  const ends = Date.parse(new X509Certificate(TEST_CERT).validTo);
  assert.equal(await check(ends - 15 * 86_400_000), undefined);
  assert.match(String(await check(ends - 13.5 * 86_400_000)), /rpc\.tlsCertFile ends at .*in 13 days/);
  assert.match(String(await check(ends + 1)), /ended at/);
  assert.equal(await check(ends, []), undefined);
});
