/**
 * What the file codec costs: sealing, opening, masking and hashing as ratios to the runtime's bare primitives, the erasure code as ratio to
 * the fastest WASM library of npm, and whole puts and gets in memory beside the sum of their stages. Run:
 * `node bench/codec.ts` or `deno run -A bench/codec.ts`. Rates are per second of the process's processor time (all threads), so that
 * other load on the machine does not count. Baseline and candidate take turns; each keeps its best round.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomBytes } from "node:crypto";
import process from "node:process";
import * as subspace from "@subspace/reed-solomon-erasure.wasm";
import { cellCipher } from "../src/codec/cell-cipher.ts";
import { shardMask } from "../src/codec/shard-mask.ts";
import {
  CELL_BYTES,
  CELL_PLAINTEXT_BYTES,
  createHeader,
  decodeRange,
  encodeFile,
  ErasureCoder,
  fileLayout,
  LEAF_BYTES,
  MerkleBuilder,
  openHeader,
  proveRange,
  shardCount,
  verifyRange,
} from "../src/codec/mod.ts";
import type { ErasurePolicy, NodePosition, Span } from "../src/codec/mod.ts";
import { isDeno } from "../src/core/mod.ts";

const ROUNDS = 25;
const ROUND_MS = 10;
const MIB = 2 ** 20;

/** One thing to time: what it does once, and how many bytes that are. */
interface Candidate {
  readonly bytes: number;
  readonly run: () => unknown;
}

async function round({ bytes, run }: Candidate): Promise<number> {
  let runs = 0;
  let spentMs = 0;
  const startedAt = process.cpuUsage();
  do {
    const result = run();
    if (result instanceof Promise) await result;
    runs++;
    const { user, system } = process.cpuUsage(startedAt);
    spentMs = (user + system) / 1000;
  } while (spentMs < ROUND_MS);
  return runs * bytes / MIB / (spentMs / 1000);
}

/** The best round of each, in MiB/s. */
async function best(candidates: readonly Candidate[], rounds = ROUNDS): Promise<number[]> {
  const rates = candidates.map(() => 0);
  for (let i = 0; i <= rounds; i++) {
    for (const [place, candidate] of candidates.entries()) {
      const rate = await round(candidate);
      if (i > 0) rates[place] = Math.max(rates[place]!, rate); // the first round warms up
    }
  }
  return rates;
}

async function compare(what: string, target: number, ours: Candidate, bare: Candidate): Promise<number> {
  const [oursRate, bareRate] = await best([ours, bare]) as [number, number];
  const ratio = oursRate / bareRate;
  console.log(
    `${what.padEnd(46)} ${oursRate.toFixed(0).padStart(6)} MiB/s  bare ${
      bareRate.toFixed(0).padStart(6)
    } MiB/s  ratio ${ratio.toFixed(2)} (target ${target}${ratio >= target ? "" : ", missed"})`,
  );
  return oursRate;
}

const key = randomBytes(32);
const hash = randomBytes(32);
const CELLS = 16;
const plaintext = randomBytes(CELLS * CELL_PLAINTEXT_BYTES);
const sealed = new Uint8Array(CELLS * CELL_BYTES);
const places = Array.from({ length: CELLS }, (_, index) => ({ index, last: false }));
const plainCell = (index: number) =>
  plaintext.subarray(index * CELL_PLAINTEXT_BYTES, (index + 1) * CELL_PLAINTEXT_BYTES);
const sealedCell = (index: number) => sealed.subarray(index * CELL_BYTES, (index + 1) * CELL_BYTES);
const nonce = randomBytes(12);
const aesKey = createSecretKey(key);
const webGcm = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
const webCtr = await crypto.subtle.importKey("raw", key, "AES-CTR", false, ["encrypt"]);
const gcm = { name: "AES-GCM", iv: nonce, additionalData: hash };

function bareSeal(index: number): unknown {
  if (isDeno) return crypto.subtle.encrypt(gcm, webGcm, plainCell(index));
  const cipher = createCipheriv("aes-256-gcm", aesKey, nonce);
  cipher.setAAD(hash);
  cipher.update(plainCell(index));
  cipher.final();
  return cipher.getAuthTag();
}

const bareSealed = new Uint8Array(await crypto.subtle.encrypt(gcm, webGcm, plainCell(0)));

function bareOpen(): unknown {
  if (isDeno) return crypto.subtle.decrypt(gcm, webGcm, bareSealed);
  const decipher = createDecipheriv("aes-256-gcm", aesKey, nonce);
  decipher.setAAD(hash);
  decipher.setAuthTag(bareSealed.subarray(CELL_PLAINTEXT_BYTES));
  const opened = decipher.update(bareSealed.subarray(0, CELL_PLAINTEXT_BYTES));
  decipher.final();
  return opened;
}

console.log(
  `${isDeno ? "Deno" : "Node"} ${
    isDeno ? "" : process.version
  }, best of ${ROUNDS} rounds of ${ROUND_MS} ms of processor time`,
);
const cipher = cellCipher({ payloadKey: key, headerHash: hash });
const cellBytes = CELLS * CELL_PLAINTEXT_BYTES;
const sealRate = await compare(`seal ${CELLS} cells`, 0.8, {
  bytes: cellBytes,
  run: () => Promise.all(places.map((place) => cipher.seal(plainCell(place.index), place, sealedCell(place.index)))),
}, { bytes: cellBytes, run: () => Promise.all(places.map(({ index }) => bareSeal(index))) });
const openRate = await compare(`open ${CELLS} cells`, 0.8, {
  bytes: cellBytes,
  run: () => Promise.all(places.map((place) => cipher.open(sealedCell(place.index), place))),
}, { bytes: cellBytes, run: () => Promise.all(places.map(bareOpen)) });

const LANE = 4 * CELL_BYTES;
const lane = randomBytes(LANE);
const mask = shardMask(key);
const counter = new Uint8Array(16);
const maskRate = await compare("mask 256 KiB", 0.8, { bytes: LANE, run: () => mask.apply(lane, 0) }, {
  bytes: LANE,
  run: () =>
    isDeno
      ? crypto.subtle.encrypt({ name: "AES-CTR", counter, length: 128 }, webCtr, lane)
      : createCipheriv("aes-256-ctr", aesKey, counter).update(lane),
});

const prefixed = randomBytes(64 + LEAF_BYTES);
const pair = randomBytes(64);
const tree = {
  bytes: LANE,
  run: () => {
    const builder = new MerkleBuilder();
    builder.append(lane);
    return builder.finish();
  },
};
const hashRate = await compare("hash: tree of 256 KiB, to its messages one by one", 0.8, tree, {
  bytes: LANE,
  run: () => {
    for (let leaf = 0; leaf < LANE / LEAF_BYTES; leaf++) {
      createHash("sha256").update(prefixed).digest();
      createHash("sha256").update(pair).digest();
    }
  },
});
await compare("hash: tree of 256 KiB, to one stream of as many bytes", 0.8, tree, {
  bytes: LANE,
  run: () => createHash("sha256").update(lane).digest(),
});

const library = await subspace.ReedSolomonErasure.fromCurrentDirectory();
const codeRates = new Map<string, number>();
for (const [dataShards, parityShards] of [[4, 2], [10, 4]] as const) {
  const policy = { dataShards, parityShards };
  const name = `${dataShards}+${parityShards}`;
  const blocks = Array.from({ length: dataShards + parityShards }, () => randomBytes(CELL_BYTES));
  const flat = new Uint8Array(randomBytes(CELL_BYTES * blocks.length));
  const bytes = dataShards * CELL_BYTES;
  const present = blocks.map((_, shard) => shard >= parityShards);
  const lost = blocks.flatMap((_, shard) => present[shard] ? [] : [shard]);
  const rebuilt = lost.map(() => new Uint8Array(CELL_BYTES));
  for (const variant of ["relaxed", "plain"] as const) {
    const coder = new ErasureCoder(policy, { variant });
    const rate = await compare(`code ${name} (${variant}): encode`, 8, {
      bytes,
      run: () => coder.encode(blocks.slice(0, dataShards), blocks.slice(dataShards)),
    }, { bytes, run: () => library.encode(flat, dataShards, parityShards) });
    if (variant === "relaxed") codeRates.set(name, rate);
    await compare(`code ${name} (${variant}): rebuild ${lost.length} data blocks`, 8, {
      bytes,
      run: () => coder.rebuild(blocks.map((block, shard) => present[shard] ? block : undefined), lost, rebuilt),
    }, { bytes, run: () => library.reconstruct(flat, dataShards, parityShards, present) });
  }
}

// Whole files, in memory: what the pipeline makes of its stages.
const policy: ErasurePolicy = { dataShards: 4, parityShards: 2 };
const spread = shardCount(policy) / policy.dataShards;
const fileKey = randomBytes(32);
const fileId = randomBytes(16);
const header = openHeader(createHeader({ fileId, fileKey, recipients: [{ type: "master", key }] }), {
  type: "file",
  key: fileKey,
});
const file = randomBytes(16 * MIB);
const shards = Array.from({ length: 6 }, () => ({ parts: [] as Uint8Array[], nodes: new Map<string, Uint8Array>() }));
const encoded = await encodeFile(chunks(), {
  header,
  policy,
  writers: shards.map(({ parts }) => ({ write: (bytes: Uint8Array) => Promise.resolve(void parts.push(bytes)) })),
  onNode: (shard, { level, index }, digest) => shards[shard]!.nodes.set(`${level}/${index}`, digest),
});

async function* chunks(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += 65_536) yield await Promise.resolve(file.subarray(at, at + 65_536));
}

const layout = fileLayout(encoded.sizeBytes, policy);
const readers = shards.map(({ parts, nodes }) => {
  const bytes = new Uint8Array(Buffer.concat(parts));
  const source = {
    nodes: (positions: readonly NodePosition[]) => positions.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
    leaves: ({ first, end }: { first: number; end: number }) => bytes.subarray(first * LEAF_BYTES, end * LEAF_BYTES),
  };
  return {
    read: async (span: Span) => ({
      bytes: bytes.subarray(span.start, span.end),
      proof: await proveRange(source, layout.leafCount, { first: span.start / LEAF_BYTES, end: span.end / LEAF_BYTES }),
    }),
  };
});

async function get(lost: number): Promise<void> {
  const present = readers.map((reader, shard) => shard < lost ? undefined : reader);
  for await (
    const _ of decodeRange({ header, layout, roots: encoded.heads.map(({ root }) => root), readers: present })
  );
}

const sink = { write: () => Promise.resolve() };
const [putRate, getRate, degradedRate] = await best([
  { bytes: file.length, run: () => encodeFile(chunks(), { header, policy, writers: Array(6).fill(sink) }) },
  { bytes: file.length, run: () => get(0) },
  { bytes: file.length, run: () => get(2) },
], 5) as [number, number, number];

const piece = await readers[0]!.read({ start: 0, end: LANE });
const head = encoded.heads[0]!;
const [verifyRate] = await best([{ bytes: LANE, run: () => verifyRange(head, { firstLeaf: 0, ...piece }) }]) as [
  number,
];
const putStages = 1 / (1 / sealRate + 1 / codeRates.get("4+2")! + spread / maskRate + spread / hashRate);
const getStages = 1 / (1 / openRate + 1 / maskRate + 1 / verifyRate);
console.log(`verify a range of 256 KiB: ${verifyRate.toFixed(0)} MiB/s`);
for (
  const [what, rate, stages] of [
    ["put 16 MiB at 4+2", putRate, putStages],
    ["get it", getRate, getStages],
    ["get it without two data shards", degradedRate, getStages],
  ] as const
) {
  console.log(
    `${what.padEnd(46)} ${rate.toFixed(0).padStart(6)} MiB/s  its stages in a row ${stages.toFixed(0)} MiB/s  ratio ${
      (rate / stages).toFixed(2)
    }`,
  );
}
