/**
 * The shard store: against one file a shard, how its costs grow with the number of shards, and what deleting gives back.
 *
 *     node bench/shard-store.ts [--only layout|growth|space] [--mib 512] [--shards 1000,100000] [--folder DIR]
 *
 * Bytes are random and made beforehand. "layout" puts and gets shards of 8 MiB, flushed to the disk in both layouts. "growth" puts shards of
 * 1 KiB, some at a time, and measures each operation at each count. "space" puts --mib, deletes every other shard, and compacts.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { RequesterId } from "../src/core/mod.ts";
import { type LevelShardStore, openShardStore } from "../src/storage/mod.ts";

const { values: args } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    mib: { type: "string", default: "512" },
    shards: { type: "string", default: "1000,100000" },
    folder: { type: "string", default: tmpdir() },
  },
});
const folder = mkdtempSync(join(args.folder, "velas-bench-"));
const OWNER: RequesterId = "0x00000000000000000000000000000000000000A1";
const ROOT = "ab".repeat(32);
const MIB = 1 << 20;
const SHARD_BYTES = 8 * MIB;
const PARALLEL = 4;

const idOf = (number: number) => number.toString(16).padStart(32, "0");
const keyOf = (number: number) => ({ owner: OWNER, id: idOf(number) });
const now = () => performance.now();

async function inLanes(count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    for (let number = next++; number < count; number = next++) await work(number);
  }));
}

async function put(store: LevelShardStore, number: number, bytes: Uint8Array): Promise<void> {
  const upload = await store.begin({ ...keyOf(number), maxBytes: bytes.length, expiresAt: 10 ** 13, graceMs: 0 });
  for (let at = 0; at < bytes.length; at += 256 << 10) await upload.write(bytes.subarray(at, at + (256 << 10)));
  for (let block = 0; block < bytes.length / 65_536; block++) upload.keepNode(6, block, bytes.subarray(0, 32));
  await upload.finish(ROOT);
}

function folderBytes(path: string): number {
  let sum = 0;
  for (const name of readdirSync(path)) sum += statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0;
  return sum;
}

/** Bytes that this process has had written to disks. */
function writtenBytes(): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
}

const rate = (mib: number, ms: number) => `${(mib / (ms / 1000)).toFixed(0)} MiB/s`;

async function layout(): Promise<void> {
  const count = Math.floor(Number(args.mib) * MIB / SHARD_BYTES);
  const bytes = randomBytes(SHARD_BYTES);
  const path = join(folder, "level");
  const { shards, close } = await openShardStore(path, { minFreeBytes: 0 });
  const files = join(folder, "files");
  await mkdir(files);

  const before = writtenBytes();
  let at = now();
  await inLanes(count, (number) => put(shards, number, bytes));
  const levelPut = now() - at;
  const amplification = (writtenBytes() - before) / (count * SHARD_BYTES);
  at = now();
  await inLanes(count, async (number) => {
    const file = await open(join(files, idOf(number)), "w");
    for (let from = 0; from < bytes.length; from += MIB) await file.write(bytes.subarray(from, from + MIB));
    await file.sync();
    await file.close();
  });
  const filePut = now() - at;
  at = now();
  await inLanes(count, async (number) => {
    for (let from = 0; from < SHARD_BYTES; from += MIB) {
      await shards.read(keyOf(number), { start: from, end: from + MIB });
    }
  });
  const levelGet = now() - at;
  at = now();
  await inLanes(count, async (number) => void await readFile(join(files, idOf(number))));
  const fileGet = now() - at;
  const mib = count * SHARD_BYTES / MIB;
  console.log(`put ${mib} MiB in shards of 8 MiB, ${PARALLEL} at a time, flushed`);
  console.log(`  LevelDB          ${rate(mib, levelPut)}, ${amplification.toFixed(2)} bytes written for each byte`);
  console.log(`  a file a shard   ${rate(mib, filePut)}; LevelDB is ${(filePut / levelPut).toFixed(2)} of it`);
  console.log(`get, checksums compared in LevelDB only, cached by the system`);
  console.log(`  LevelDB          ${rate(mib, levelGet)}`);
  console.log(`  a file a shard   ${rate(mib, fileGet)}; LevelDB is ${(fileGet / levelGet).toFixed(2)} of it`);
  await close();
  await rm(path, { recursive: true });
  await rm(files, { recursive: true });
}

async function growth(): Promise<void> {
  const counts = args.shards.split(",").map(Number);
  const path = join(folder, "growth");
  const { shards, close } = await openShardStore(path, { minFreeBytes: 0, sync: false });
  const bytes = randomBytes(1024);
  const SAMPLE = 1000;
  let first: number[] | undefined;
  let stored = 0;
  console.log("microseconds an operation on shards of 1 KiB, without fsync: put, get, node of the tree, page of 100");
  for (const count of counts) {
    const lanes = Math.max(0, count - stored - SAMPLE);
    let next = stored;
    await Promise.all(Array.from({ length: 64 }, async () => {
      while (next < stored + lanes) await put(shards, next++, bytes);
    }));
    stored += lanes;
    const time = async (work: (i: number) => Promise<unknown>) => {
      const at = now();
      for (let i = 0; i < SAMPLE; i++) await work(i);
      return (now() - at) / SAMPLE * 1000;
    };
    const any = () => keyOf(Math.floor(Math.random() * stored));
    const puts = await time((i) => put(shards, stored + i, bytes));
    stored += SAMPLE;
    const figures = [
      puts,
      await time(() => shards.read(any(), { start: 0, end: 1024 })),
      await time(() => shards.nodes(any(), [{ level: 6, index: 0 }])),
      await time(() => shards.list(OWNER, any().id, 100)),
    ];
    first ??= figures;
    const ratios = figures.map((figure, i) => `${figure.toFixed(0)} (${(figure / first![i]!).toFixed(2)} x)`);
    console.log(`  ${String(stored).padStart(9)} shards   ${ratios.join("   ")}`);
  }
  await close();
  await rm(path, { recursive: true });
}

async function space(): Promise<void> {
  const count = Math.floor(Number(args.mib) * MIB / SHARD_BYTES);
  const path = join(folder, "space");
  const { shards, close } = await openShardStore(path, { minFreeBytes: 0 });
  const bytes = randomBytes(SHARD_BYTES);
  await inLanes(count, (number) => put(shards, number, bytes));
  const full = folderBytes(path);
  const at = now();
  for (let number = 0; number < count; number += 2) await shards.remove(keyOf(number));
  const removed = now() - at;
  await shards.settle();
  const settled = now() - at;
  const left = folderBytes(path);
  const show = (sum: number) => `${(sum / MIB).toFixed(0)} MiB`;
  console.log(`space of ${show(count * SHARD_BYTES)}: ${show(full)} on disk; half removed in ${removed.toFixed(0)} ms`);
  console.log(
    `  after compaction (${settled.toFixed(0)} ms): ${show(left)}, ${(left / (full / 2)).toFixed(2)} of half`,
  );
  await close();
  await rm(path, { recursive: true });
}

try {
  for (const [name, run] of Object.entries({ layout, growth, space })) {
    if (args.only === "" || args.only === name) await run();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
