/**
 * What it costs a node that 1,000 pages watch it: each sample of `/v1/events` is made once and written to all. Reports how long opening took,
 * from the first to the last client's arrival of each sample, and the node's CPU time for a sample beyond what it uses with nobody watching.
 *
 *     node bench/sse.ts [--clients 1000] [--samples 10]
 *
 * Fails when a client misses a sample. The clients share the machine with the node.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: { clients: { type: "string", default: "1000" }, samples: { type: "string", default: "10" } },
});
const clients = Number(args.clients);
const samples = Number(args.samples);
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const child = spawn(process.execPath, [
  main,
  "node",
  "--data-dir",
  join(folder, "data"),
  "--rest-listen",
  "127.0.0.1:0",
  "--rpc-listen",
  "127.0.0.1:0",
  "--log-format",
  "json",
  "--rest-max-event-streams",
  String(clients),
], { stdio: ["ignore", "ignore", "pipe"] });

async function address(): Promise<string> {
  for await (const line of createInterface({ input: child.stderr! })) {
    const rest = line.startsWith("{") ? JSON.parse(line).rest as string | undefined : undefined;
    if (rest !== undefined) return rest;
  }
  throw new Error("The node did not start");
}

/** CPU seconds and resident bytes of the node. */
async function usage(rest: string): Promise<{ readonly cpu: number; readonly resident: number }> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
  return { cpu: read("process_cpu_seconds_total"), resident: read("process_resident_memory_bytes") };
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

try {
  const rest = await address();
  child.stderr!.resume();
  const agent = new http.Agent({ maxSockets: Infinity });
  /** When each client had its nth sample. */
  const arrivals: number[][] = [];
  let bytes = 0;
  const open = () =>
    new Promise<void>((resolve, reject) => {
      let count = 0;
      http.get(`${rest}/v1/events`, { agent }, (response) => {
        if (response.statusCode !== 200) return reject(new Error(`A client was answered ${response.statusCode}`));
        response.setEncoding("utf8").on("data", (text: string) => {
          bytes += text.length;
          for (let i = text.split("event: sample\n").length - 1; i > 0; i--) {
            (arrivals[count++] ??= []).push(performance.now());
          }
        });
        response.on("error", () => {});
        resolve();
      }).on("error", reject);
    });
  await wait(2000);
  const idle = await usage(rest);
  await wait(samples * 1000);
  const before = await usage(rest);
  const idlePerSecond = (before.cpu - idle.cpu) / samples;

  const startedAt = performance.now();
  await Promise.all(Array.from({ length: clients }, open));
  const openedMs = performance.now() - startedAt;
  const opened = await usage(rest);
  const from = arrivals.length;
  const watchedAt = performance.now();
  const complete = () => arrivals.filter((times) => times.length === clients).length;
  while (complete() < from + samples) {
    if (performance.now() - watchedAt > samples * 10_000) throw new Error("A client missed a sample");
    await wait(50);
  }
  const after = await usage(rest);
  const seconds = (performance.now() - watchedAt) / 1000;
  const cpuMs = (after.cpu - opened.cpu - idlePerSecond * seconds) * 1000 / samples;
  // The first one comes with the opening, to each client by itself.
  const spreads = arrivals.slice(1, samples).map((times) => Math.max(...times) - Math.min(...times))
    .sort((a, b) => a - b);
  const mib = (after.resident - before.resident) / 2 ** 20;
  console.log(`${clients} event streams opened in ${openedMs.toFixed(0)} ms, +${mib.toFixed(0)} MiB resident`);
  console.log(
    `a sample reaches all within ${spreads[Math.floor(spreads.length / 2)]!.toFixed(1)} ms (median; the longest ${
      spreads.at(-1)!.toFixed(1)
    }), costs the node ${cpuMs.toFixed(1)} ms of CPU, and has ${(bytes / clients / arrivals.length).toFixed(0)} bytes`,
  );
  agent.destroy();
} finally {
  child.kill("SIGTERM");
  await new Promise((resolve) => child.once("close", resolve));
  rmSync(folder, { recursive: true, force: true });
}
