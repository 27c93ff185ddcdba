/**
 * Images per second of the machine-learning plugins, one call after another: alone, in batches, and with a model that the call brings.
 * Run: `npm run bench -- ml [--runtime deno]` for the one in Rust, wasm-plugins/digits; for the one in Python, with
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

const [name = "", address] = (process.argv[2] ?? "digits").split("=");
if (name !== "digits" && address === undefined) {
  console.error("Name the plugin and its address: digits-python=127.0.0.1:8082");
  process.exit(2);
}

const model = (file: string): Uint8Array =>
  readFileSync(new URL(`../wasm-plugins/digits/model/${file}`, import.meta.url));
const pixels = model("heldout.bin").filter((_, i) => i % RECORD < PIXELS);
const held = pixels.length / PIXELS;

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
  await host.installBytes(readFileSync(new URL("../wasm-plugins/digits/digits.wasm", import.meta.url)));
}

/** Images per second over a round. */
async function round(input: Uint8Array, images: number): Promise<number> {
  const startedAt = performance.now();
  let calls = 0;
  do {
    await host.execute({
      plugin: name,
      function: "classify",
      input,
      contentType: "",
      limits: { timeoutMs: 60_000, memoryBytes: 64 << 20, outputBytes: 16 << 20 },
      requester: ANONYMOUS,
      signal: new AbortController().signal,
    });
    calls++;
  } while (performance.now() - startedAt < ROUND_MS);
  return calls * images / (performance.now() - startedAt) * 1000;
}

const brought = JSON.stringify({
  images: Buffer.from(pixels).toString("base64"),
  onnx: Buffer.from(model("odd-even.onnx")).toString("base64"),
});
const cases: readonly (readonly [label: string, input: Uint8Array, images: number])[] = [
  ["1 image a call", pixels.subarray(0, PIXELS), 1],
  [`${held} images a call`, pixels, held],
  [`${held} images and a model a call`, Buffer.from(brought), held],
];
console.log(`${isDeno ? "Deno" : "Node"}, ${name}: images a second`);
for (const [label, input, images] of cases) {
  let best = 0;
  for (let i = 0; i < ROUNDS; i++) best = Math.max(best, await round(input, images));
  console.log(`${label}: ${Math.round(best).toLocaleString("en")}`);
}
await host.close();
rmSync(folder, { recursive: true });
