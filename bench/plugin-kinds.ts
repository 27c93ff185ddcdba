/**
 * What plugins cost before and in their calls: the time and memory of installing modules, one of 5 MB of code among them; the first call
 * beside those after it; and the same functions as a WASM plugin and as an external gRPC plugin (the node's own demo functions, in a
 * process of their own), one call after another and 16 at once. Run: `node bench/plugin-kinds.ts` or `deno run -A bench/plugin-kinds.ts`.
 * Needs Linux, whose kernel counts the memory.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ANONYMOUS, isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import { openPluginHost, packPlugin, type Plugins } from "../src/plugins/mod.ts";

const ROUNDS = 5;
const CALLS = 2000;
const AT_ONCE = 16;
const MIB = 2 ** 20;

const read = (path: string) => new Uint8Array(readFileSync(new URL(`../wasm-plugins/${path}`, import.meta.url)));
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** A module of so many bytes of code: functions of sums and branches, and one to call. */
function moduleOf(sizeBytes: number): Uint8Array {
  const leb = (value: number): number[] => value < 128 ? [value] : [value % 128 | 0x80, ...leb(value >> 7)];
  const section = (id: number, body: number[]): number[] => [id, ...leb(body.length), ...body];
  // local = local + 5; if (local) local = local + 3
  const piece = [0x20, 0, 0x41, 5, 0x6a, 0x21, 0, 0x20, 0, 0x04, 0x40, 0x20, 0, 0x41, 3, 0x6a, 0x21, 0, 0x0b];
  const code = [1, 1, 0x7f, ...Array.from({ length: 50 }, () => piece).flat(), 0x0b];
  const count = Math.floor(sizeBytes / (code.length + 3));
  const functions = [...leb(count), ...new Array<number>(count).fill(0)];
  const head = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(3, functions),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
  ];
  const entry = Uint8Array.from([...leb(code.length), ...code]);
  const body = [...leb(count)];
  const size = leb(body.length + entry.length * count);
  const bytes = new Uint8Array(head.length + 1 + size.length + body.length + entry.length * count);
  bytes.set([...head, 10, ...size, ...body]);
  for (let i = 0; i < count; i++) bytes.set(entry, bytes.length - (count - i) * entry.length);
  const manifest = { name: "large", version: "1.0.0", functions: [{ name: "run" }] };
  return packPlugin(bytes, new TextEncoder().encode(JSON.stringify(manifest)));
}

/** Resident memory of this process in MiB: now, and the most since {@link forgetPeak}. */
function memory(): { readonly now: number; readonly peak: number } {
  const status = readFileSync("/proc/self/status", "utf8");
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) / 1024;
  return { now: field("VmRSS"), peak: field("VmHWM") };
}

function forgetPeak(): void {
  writeFileSync("/proc/self/clear_refs", "5");
}

async function withHost<T>(external: readonly string[], use: (host: Plugins) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "bench-plugin-kinds-"));
  const host = await openPluginHost({
    folder,
    defaultPlugin: "demo",
    workers: 1,
    maxModuleBytes: 1 << 25,
    maxInputBytes: 1 << 25,
    allowUrlInstall: false,
    external: external.length === 0 ? [] : [{ name: "outside", command: external, protocol: "velas" }],
    log: silentLog,
    metrics: noMetrics,
  });
  try {
    return await use(host);
  } finally {
    await host.close();
    rmSync(folder, { recursive: true });
  }
}

function callOf(host: Plugins, { plugin, fn, input }: { plugin: string; fn: string; input: Uint8Array }) {
  const limits = { timeoutMs: 10_000, memoryBytes: 256 * MIB, outputBytes: 1 << 24 };
  const { signal } = new AbortController();
  return () =>
    host.execute({
      plugin,
      function: fn,
      input: input.slice(),
      contentType: "",
      limits,
      requester: ANONYMOUS,
      signal,
    });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

console.log(isDeno ? "Deno" : "Node");
const modules = [
  ["demo (Rust)", read("demo/demo.wasm"), "demo", "greet"],
  ["demo-as (AssemblyScript)", read("demo-as/demo-as.wasm"), "demo-as", "greet"],
  ["demo-go (Go)", read("demo-go/demo-go.wasm"), "demo-go", "greet"],
  ["5 MB of code", moduleOf(5_000_000), "large", "run"],
] as const;
for (const [title, bytes, plugin, fn] of modules) {
  const [installs, peaks, kept, colds, warms]: [number[], number[], number[], number[], number[]] = [
    [],
    [],
    [],
    [],
    [],
  ];
  for (let round = 0; round < ROUNDS; round++) {
    await withHost([], async (host) => {
      forgetPeak();
      const before = memory().now;
      installs.push(await timed(() => host.installBytes(bytes)));
      const after = memory();
      peaks.push(after.peak - before);
      kept.push(after.now - before);
      const call = callOf(host, { plugin, fn, input: new Uint8Array(5).fill(0x61) });
      colds.push(await timed(call));
      const times: number[] = [];
      for (let i = 0; i < CALLS; i++) times.push(await timed(call));
      warms.push(median(times));
    });
  }
  console.log(
    `${title}, ${(bytes.length / 1e6).toFixed(1)} MB: install ${Math.min(...installs).toFixed(0)} ms (median ${
      median(installs).toFixed(0)
    }), memory +${median(peaks).toFixed(0)} MiB at most, +${median(kept).toFixed(0)} MiB after; first call ${
      median(colds).toFixed(1)
    } ms, warm ${(median(warms) * 1000).toFixed(0)} µs (ratio ${(median(colds) / median(warms)).toFixed(0)})`,
  );
}

const command = isDeno ? [process.execPath, "run", "-A", main, "plugin"] : [process.execPath, main, "plugin"];
await withHost(command, async (host) => {
  await host.installBytes(read("demo/demo.wasm"));
  while (!host.list().some(({ name, ready }) => name === "outside" && ready)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const [fn, size] of [["greet", 5], ["echo", 4096]] as const) {
    const input = new Uint8Array(size).fill(0x61);
    const calls = CALLS;
    const candidates = ["demo", "outside"].map((plugin) => callOf(host, { plugin, fn, input }));
    const [single, rate]: [number[], number[]] = [[Infinity, Infinity], [0, 0]];
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [place, call] of candidates.entries()) {
        const times: number[] = [];
        for (let i = 0; i < calls / 4; i++) times.push(await timed(call));
        let left = calls;
        const ms = await timed(() =>
          Promise.all(Array.from({ length: AT_ONCE }, async () => {
            while (left-- > 0) await call();
          }))
        );
        if (round === 0) continue; // it warms up
        single[place] = Math.min(single[place]!, median(times));
        rate[place] = Math.max(rate[place]!, calls / ms * 1000);
      }
    }
    const [wasm, grpc] = single.map((ms) => ms * 1000) as [number, number];
    const [wasmRate, grpcRate] = rate.map(Math.round) as [number, number];
    console.log(
      `${fn}, ${size} bytes: WASM ${wasm.toFixed(0)} µs, gRPC ${grpc.toFixed(0)} µs a call (ratio ${
        (grpc / wasm).toFixed(1)
      }); ${AT_ONCE} at once WASM ${wasmRate.toLocaleString("en")}/s, gRPC ${grpcRate.toLocaleString("en")}/s (ratio ${
        (wasmRate / grpcRate).toFixed(1)
      })`,
    );
  }
});
