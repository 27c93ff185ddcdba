/**
 * Files through real nodes: a stream is put to a requester over REST, spread over six providers, and read back.
 *
 *     node bench/files.ts [--mib 2048] [--only nodes|stages] [--folder DIR]
 *
 * Every KiB of the stream has its own number: gets and ranges are compared byte by byte.
 *
 * A first file of up to 256 MiB goes before, and is told by itself: nodes that have just started are slower.
 *
 * Prints MiB/s of put and get beside each stage of them alone and beside a plain copy of the same bytes with fsync, and what share of their slowest
 * stage alone they reach. A stage alone has all cores of the machine for itself; in a put and a get seven processes, this one as their client
 * and all stages share them. So the processor time is told too: that of each stage, that of all processes of a put and a get for a MiB of the file,
 * and the most MiB/s that this leaves on the machine's cores. Then the time to the first byte of random ranges, and how much the resident memory of each node grew. It is told apart by `/proc`: "held" is memory of the process alone, "mapped"
 * are pages of LevelDB's files, which the system takes back when it needs them. Takes 1.5 times the size of both files on disk, in a folder that it removes;
 * refuses to begin with less than three times the size free.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open, statfs } from "node:fs/promises";
import { request } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { createHeader, decodeRange, encodeFile, fileLayout, openHeader } from "../src/codec/mod.ts";
import { type NodePosition, proveRange } from "../src/codec/mod.ts";
import { giveHeapRoom, release } from "../src/core/mod.ts";
import { openShardStore } from "../src/storage/mod.ts";
import { startNode } from "../test/e2e/harness.ts";

const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "2048" },
    only: { type: "string", default: "" },
    folder: { type: "string", default: tmpdir() },
  },
});
const MIB = 2 ** 20;
const totalMib = Number(args.mib);
const totalBytes = totalMib * MIB;
const POLICY = { dataShards: 4, parityShards: 2 };
/** What stages alone are measured with: enough for a steady rate. */
const stageMib = Math.min(totalMib, 512);

const folder = mkdtempSync(join(args.folder, "velas-bench-"));
const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };

interface Resident {
  readonly held: number;
  readonly mapped: number;
}

/** Resident memory of a process, in MiB. */
function resident(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]) / 1024;
  return { held: field("RssAnon"), mapped: field("RssFile") };
}

/** Watches how far the memory of nodes grows. */
class MemoryWatch {
  readonly #pids: readonly number[];
  readonly #before: readonly Resident[];
  #most: Resident[];
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#before = pids.map(resident);
    this.#most = [...this.#before];
    this.#timer = setInterval(() => this.#look(), 100);
  }

  #look(): void {
    this.#most = this.#pids.map((pid, i) => {
      const { held, mapped } = resident(pid);
      const most = this.#most[i]!;
      return { held: Math.max(held, most.held), mapped: Math.max(mapped, most.mapped) };
    });
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** The growth so far; the first node is the requester. */
  tell(): string {
    this.#look();
    const grew = (part: keyof Resident) => this.#most.map((most, i) => Math.round(most[part] - this.#before[i]![part]));
    const [requester, ...providers] = grew("held");
    return `held memory grew: requester ${requester} MiB, providers ${providers.join(", ")} MiB ` +
      `(mapped: ${grew("mapped").join(", ")})`;
  }
}

const CORES = availableParallelism();

/** Processor time of this process and of others so far, in milliseconds. */
function cpuMs(pids: readonly number[]): number {
  const own = process.cpuUsage();
  const others = pids.map((pid) => {
    // After the name, which may hold anything, come 11 fields and then user and system time in ticks of 10 ms (proc_pid_stat(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
    return 10 * (Number(fields[11]) + Number(fields[12]));
  });
  return (own.user + own.system) / 1000 + others.reduce((sum, ms) => sum + ms, 0);
}

/** Measures some work of this process and of others, and returns its MiB/s. */
async function rate(
  what: string,
  mib: number,
  work: () => Promise<unknown>,
  pids: readonly number[] = [],
): Promise<number> {
  const [startedAt, cpuBefore] = [performance.now(), cpuMs(pids)];
  await work();
  const speed = mib / ((performance.now() - startedAt) / 1000);
  const cost = (cpuMs(pids) - cpuBefore) / mib;
  console.log(`${what.padEnd(44)} ${speed.toFixed(0).padStart(6)} MiB/s, ${cost.toFixed(1)} ms of CPU a MiB`);
  if (pids.length > 0) {
    console.log(`  on ${CORES} cores that CPU time allows ${(CORES * 1000 / cost).toFixed(0)} MiB/s at most`);
  }
  return speed;
}

/** The slowest stage alone of a put and of a get, as far as they were measured. */
interface Slowest {
  readonly put: Stage;
  readonly get: Stage;
}

interface Stage {
  readonly name: string;
  readonly speed: number;
}

function tellShare(what: string, speed: number, stage: Stage | undefined): void {
  if (stage === undefined) return;
  console.log(`  ${(speed / stage.speed).toFixed(2)} of ${stage.name} alone, the slowest stage of a ${what}`);
}

const block = randomBytes(MIB);

async function* source(mib: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < mib; i++) yield block;
}

/** A MiB of the file: every KiB begins with its own number, so that no two are equal and none can stand for another. */
function numbered(mib: number, bytes: Buffer = Buffer.from(block)): Buffer {
  for (let at = 0; at < MIB; at += 1024) bytes.writeUIntBE(mib * 1024 + at / 1024, at, 6);
  return bytes;
}

/** A range of the file of numbered blocks. */
function rangeOf(start: number, end: number): Buffer {
  const first = Math.floor(start / MIB);
  const blocks = Array.from({ length: Math.ceil(end / MIB) - first }, (_, i) => numbered(first + i));
  return Buffer.concat(blocks).subarray(start - first * MIB, end - first * MIB);
}

async function measureStages(): Promise<Slowest> {
  await rate("a plain copy, with fsync", stageMib, async () => {
    const file = await open(join(folder, "copy"), "w");
    for await (const bytes of source(stageMib)) await file.write(bytes);
    await file.sync();
    await file.close();
  });
  rmSync(join(folder, "copy"));
  await rate("digest of the plaintext alone", stageMib, async () => {
    const hash = createHash("sha256");
    for await (const bytes of source(stageMib)) hash.update(bytes);
  });
  const header = openHeader(
    createHeader({
      fileId: randomBytes(16),
      fileKey: randomBytes(32),
      recipients: [{ type: "master", key: block.subarray(0, 32) }],
      random: randomBytes,
    }),
    { type: "master", key: block.subarray(0, 32) },
  );
  const encode = await rate("encode alone: seal, parity, mask, tree", stageMib, async () => {
    const writers = Array.from({ length: 6 }, () => ({ write: () => Promise.resolve() }));
    await encodeFile(source(stageMib), { header, policy: POLICY, writers });
  });
  const decode = await measureDecode(header);
  const store = await rate("shard store alone: six, fsynced, of the file", stageMib, async () => {
    await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      const { shards, close } = await openShardStore(join(folder, `store-${i}`), { minFreeBytes: 0 });
      const key = { owner: `0x${"a1".repeat(20)}`, id: "0".repeat(32) } as const;
      const sizeBytes = Math.ceil(stageMib / 4) * MIB;
      const upload = await shards.begin({ ...key, maxBytes: sizeBytes, expiresAt: 10 ** 13, graceMs: 0 });
      for (let at = 0; at < sizeBytes; at += MIB / 4) await upload.write(block.subarray(0, MIB / 4));
      await upload.finish("ab".repeat(32));
      await close();
      rmSync(join(folder, `store-${i}`), { recursive: true });
    }));
  });
  return {
    put: store < encode ? { name: "the shard stores", speed: store } : { name: "encoding", speed: encode },
    get: { name: "decoding", speed: decode },
  };
}

/** Decodes a file that lies in memory: verify, unmask, open. */
async function measureDecode(header: ReturnType<typeof openHeader>): Promise<number> {
  const mib = Math.min(stageMib, 128);
  const shards: Uint8Array[][] = Array.from({ length: 6 }, () => []);
  const nodes = shards.map(() => new Map<string, Uint8Array>());
  const keyOf = ({ level, index }: NodePosition) => `${level}/${index}`;
  const { heads } = await encodeFile(source(mib), {
    header,
    policy: POLICY,
    writers: shards.map((shard) => ({ write: (bytes) => (shard.push(bytes), Promise.resolve()) })),
    onNode: (shard, position, digest) => nodes[shard]!.set(keyOf(position), digest.slice()),
  });
  const whole = shards.map((shard) => Buffer.concat(shard));
  const layout = fileLayout(mib * MIB, POLICY);
  return await rate("decode alone: prove, verify, unmask, open", mib, async () => {
    const pieces = decodeRange({
      header,
      layout,
      roots: heads.map(({ root }) => root),
      readers: whole.map((shard, index) => ({
        read: async ({ start, end }) => ({
          bytes: new Uint8Array(shard.subarray(start, end)),
          proof: await proveRange(
            {
              nodes: (positions) => positions.map((position) => nodes[index]!.get(keyOf(position))!),
              leaves: ({ first, end: last }) => Promise.resolve(shard.subarray(first * 1024, last * 1024)),
            },
            layout.leafCount,
            { first: start / 1024, end: end / 1024 },
          ),
        }),
      })),
    });
    for await (const _piece of pieces);
  });
}

async function measureNodes(slowest: Slowest | undefined): Promise<void> {
  const providers = await Promise.all(Array.from({ length: 6 }, (_, i) =>
    startNode(scope, {
      dataDir: join(folder, `provider-${i + 1}`),
      config: { storage: { quotaBytes: 2 * totalBytes, minFreeBytes: 0 } },
    })));
  const requester = await startNode(scope, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  // A small file first, so that what is loaded on first use does not count.
  await drain(requester.rest, await put(requester.rest, "small", 8 * MIB));
  const pids = [requester, ...providers].map(({ child }) => child.pid!);
  const memory = new MemoryWatch(pids);
  try {
    // Nodes that have just started compile what they do often, and collect what the start left: that is told by itself.
    const firstMib = Math.min(totalMib, 256);
    const first = async () => void await put(requester.rest, "first", firstMib * MIB);
    await rate("put over six nodes that have just started", firstMib, first, pids);
    let file: Put | undefined;
    const putting = async () => file = await put(requester.rest, "big", totalBytes);
    tellShare("put", await rate("put over six nodes", totalMib, putting, pids), slowest?.put);
    console.log(`  ${memory.tell()}`);
    const url = `${requester.rest}/v1/files/${file!.id}/content`;
    const getting = () => drain(requester.rest, file!);
    tellShare("get", await rate("get over six nodes, every byte compared", totalMib, getting, pids), slowest?.get);
    console.log(`  ${memory.tell()}`);
    const seeks: number[] = [];
    for (let i = 0; i < 50; i++) {
      const start = Math.floor(Math.random() * (totalBytes - MIB));
      seeks.push(await firstByteMs(url, { start, end: start + MIB }));
    }
    seeks.sort((a, b) => a - b);
    console.log(`first byte of a random MiB: p50 ${seeks[25]!.toFixed(1)} ms, p99 ${seeks[49]!.toFixed(1)} ms`);
  } finally {
    memory.stop();
  }
}

/** What was put, and the digest that its record has. */
interface Put {
  readonly id: string;
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * Puts numbered blocks; fails unless the record has the digest of what was sent. Their memory is given back as they are sent, as that of any client is
 * that does not leave it to a collector.
 */
function put(rest: string, name: string, bytes: number): Promise<Put> {
  return new Promise((resolve, reject) => {
    const sent = createHash("sha256");
    const call = request(`${rest}/v1/files/${name}`, { method: "PUT" }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => text += piece).on("end", () => {
        if (answer.statusCode !== 201) return reject(new Error(text));
        const { id, sha256 } = JSON.parse(text) as { id: string; sha256: string };
        if (sha256 === sent.digest("hex")) resolve({ id, sha256, bytes });
        else reject(new Error(`The record has the digest ${sha256}, not that of what was sent`));
      });
    });
    call.on("error", reject);
    let mib = 0;
    const send = () => {
      while (mib < bytes / MIB) {
        const some = numbered(mib++);
        sent.update(some);
        if (!call.write(some, () => release(some))) return void call.once("drain", send);
      }
      call.end();
    };
    send();
  });
}

/**
 * Reads a file of numbered blocks whole, and compares every byte. The memory of what it has read is given back, as that of any client is that does
 * not leave it to a collector.
 */
function drain(rest: string, { id, bytes }: Put): Promise<void> {
  return new Promise((resolve, reject) => {
    request(`${rest}/v1/files/${id}/content`, (answer) => {
      let size = 0;
      const expected = Buffer.from(block);
      answer.on("data", (piece: Buffer) => {
        for (let at = 0; at < piece.length;) {
          const from = size % MIB;
          if (from === 0) numbered(size / MIB, expected);
          const length = Math.min(piece.length - at, MIB - from);
          if (!piece.subarray(at, at + length).equals(expected.subarray(from, from + length))) {
            answer.destroy(new Error(`What came after ${size} bytes is not what was put`));
            return;
          }
          at += length;
          size += length;
        }
        release(piece);
      }).on("error", reject).on("end", () => {
        if (size === bytes) resolve();
        else reject(new Error(`${size} of ${bytes} bytes came`));
      });
    }).on("error", reject).end();
  });
}

/** Reads a range and compares it; tells when its first byte came. */
function firstByteMs(url: string, { start, end }: { readonly start: number; readonly end: number }): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    request(url, { headers: { range: `bytes=${start}-${end - 1}` } }, (answer) => {
      let ms: number | undefined;
      const pieces: Buffer[] = [];
      answer.on("data", (piece: Buffer) => {
        ms ??= performance.now() - startedAt;
        pieces.push(piece);
      }).on("error", reject).on("end", () => {
        if (Buffer.concat(pieces).equals(rangeOf(start, end))) resolve(ms!);
        else reject(new Error(`Bytes ${start} to ${end} came back otherwise`));
      });
    }).on("error", reject).end();
  });
}

/** Ends the nodes and removes the folder, once. */
async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void cleanUp().finally(() => process.exit(1)));
}
// What a node gives itself, for the stages and the client alike.
giveHeapRoom();
try {
  if (!(Number.isSafeInteger(totalMib) && totalMib >= 16)) throw new Error("--mib takes a whole number from 16 on");
  const disk = await statfs(folder);
  if (disk.bavail * disk.bsize < 3 * totalBytes) throw new Error(`${folder} has less than ${3 * totalMib} MiB free`);
  const slowest = args.only === "nodes" ? undefined : await measureStages();
  if (args.only !== "stages") await measureNodes(slowest);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await cleanUp();
}
