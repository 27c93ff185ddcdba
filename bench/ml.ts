/**
 * Images or texts per second of the plugins with models, one call after another: alone, in batches, and with a model that the call brings.
 * Run: `npm run bench -- ml [digits | text] [--runtime deno]` for those in Rust, wasm-plugins/; for those in Python, with
 * grpc-plugins/digits-python/server.py listening (--take-models for the last row), `npm run bench -- ml digits-python=127.0.0.1:8082`.
 * Each figure is the best of its rounds.
 */
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ANONYMOUS, isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import { openPluginHost } from "../src/plugins/mod.ts";

const ROUNDS = 5;
const ROUND_MS = 400;
const RECORD = 65;
const PIXELS = 64;

/** What the plugins of one model are given. */
interface Load {
  readonly fn: string;
  readonly things: string;
  readonly one: Uint8Array;
  readonly all: Uint8Array;
  readonly count: number;
  /** All of them, with a model. */
  readonly brought: object;
}

const [name = "", address] = (process.argv[2] ?? "digits").split("=");
const model = name.replace("-python", "");
const file = (path: string): Uint8Array => readFileSync(new URL(`../wasm-plugins/${model}/${path}`, import.meta.url));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const LOADS: Readonly<Record<string, () => Load>> = {
  digits: () => {
    const all = file("model/heldout.bin").filter((_, i) => i % RECORD < PIXELS);
    return {
      fn: "classify",
      things: "image",
      one: all.subarray(0, PIXELS),
      all,
      count: all.length / PIXELS,
      brought: { images: base64(all), onnx: base64(file("model/odd-even.onnx")) },
    };
  },
  text: () => {
    const { texts } = JSON.parse(Buffer.from(file("model/heldout.json")).toString()) as { texts: string[] };
    return {
      fn: "language",
      things: "text",
      one: Buffer.from(texts[0]!),
      all: Buffer.from(JSON.stringify({ texts })),
      count: texts.length,
      brought: { texts, onnx: base64(file("model/romance.onnx")) },
    };
  },
};
const load = LOADS[model]?.();
if (load === undefined || (name !== model && address === undefined)) {
  console.error("Name digits or text, or a plugin and its address: digits-python=127.0.0.1:8082");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "bench-ml-"));
const host = await openPluginHost({
  folder,
  defaultPlugin: "demo",
  workers: 1,
  maxModuleBytes: 32 << 20,
  maxInputBytes: 16 << 20,
  allowUrlInstall: false,
  external: address === undefined ? [] : [{ name, address, protocol: "velas" }],
  log: silentLog,
  metrics: noMetrics,
});

if (address === undefined) {
  await host.installBytes(file(`${model}.wasm`));
}

/** Images or texts per second over a round. */
async function round(fn: string, input: Uint8Array, count: number): Promise<number> {
  const startedAt = performance.now();
  let calls = 0;
  do {
    await host.execute({
      plugin: name,
      function: fn,
      input,
      contentType: "",
      limits: { timeoutMs: 60_000, memoryBytes: 64 << 20, outputBytes: 16 << 20 },
      requester: ANONYMOUS,
      signal: new AbortController().signal,
    });
    calls++;
  } while (performance.now() - startedAt < ROUND_MS);
  return calls * count / (performance.now() - startedAt) * 1000;
}

const { fn, things, count } = load;
const cases: readonly (readonly [label: string, input: Uint8Array, count: number])[] = [
  [`1 ${things} a call`, load.one, 1],
  [`${count} ${things}s a call`, load.all, count],
  [`${count} ${things}s and a model a call`, Buffer.from(JSON.stringify(load.brought)), count],
];
console.log(`${isDeno ? "Deno" : "Node"}, ${name}: ${things}s a second`);
for (const [label, input, each] of cases) {
  let best = 0;
  for (let i = 0; i < ROUNDS; i++) best = Math.max(best, await round(fn, input, each));
  console.log(`${label}: ${Math.round(best).toLocaleString("en")}`);
}
await host.close();
rmSync(folder, { recursive: true });
