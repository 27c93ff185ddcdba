/**
 * The whole node, from outside: how fast it starts and what it holds idle; tasks per second through REST, requester, wire, provider,
 * WASM and back; and straight to the provider over gRPC, without and with a front thread, against a bare node:http2 responder and plain
 * connect-node in the same run.
 *
 *     node bench/whole-node.ts [--requests 30000] [--connections 16] [--only rest|grpc|fronts|start]
 *
 * VELAS_SPHERE_EXE names the executable to measure; without it the source runs. Fails when one request fails. Needs h2load.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { commandLine, startNode } from "../test/e2e/harness.ts";
import { asked } from "./asked.ts";

const { values: args } = parseArgs({
  options: {
    requests: { type: "string", default: "30000" },
    connections: { type: "string", default: "16" },
    only: { type: "string", default: "" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };

/** Resident memory of a process, in MB. */
function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024 / 1e6;
}

async function measureStart(): Promise<void> {
  const times: number[] = [];
  let resident = 0;
  for (let round = 0; round < 7; round++) {
    const startedAt = performance.now();
    const node = await startNode(scope, { dataDir: join(folder, "start") });
    times.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, 3500)); // idle: what starting has left is collected after 2 s
    resident = residentMb(node.child.pid!);
    await node.stop();
  }
  times.sort((a, b) => a - b);
  console.log(
    `start to serving     median ${times[3]!.toFixed(0)} ms (${times[0]!.toFixed(0)} to ${times[6]!.toFixed(0)}), ` +
      `idle ${resident.toFixed(0)} MB resident`,
  );
  // Of the executable; from source each file is compiled anew.
  console.log(
    `  milliseconds ${asked({ atMost: 500 }, times[3]!, 0)}; megabytes ${asked({ atMost: 130 }, resident, 0)}`,
  );
}

interface Load {
  readonly url: string;
  readonly body: string;
  readonly requests: number;
}

/** Loads an HTTP/1.1 URL with h2load; every request must succeed. */
async function load({ url, body, requests }: Load): Promise<{ perSecond: number; p50Ms: number; p99Ms: number }> {
  const file = join(folder, "body");
  const log = join(folder, "load.log");
  writeFileSync(file, body);
  rmSync(log, { force: true });
  const { stdout } = await promisify(execFile)("h2load", [
    ...["--h1", "-n", String(requests), "-c", args.connections, "-d", file, `--log-file=${log}`, url],
  ]);
  const counts = /status codes: (\d+) 2xx/.exec(stdout);
  if (Number(counts?.[1]) !== requests) throw new Error(`Requests failed:\n${stdout}`);
  const micros = readFileSync(log, "utf8").trim().split("\n").map((line) => Number(line.split("\t")[2]));
  micros.sort((a, b) => a - b);
  const quantile = (q: number) => micros[Math.min(micros.length - 1, Math.floor(q * micros.length))]! / 1000;
  return {
    perSecond: Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(stdout)![1]),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

/** The whole way, which the original node goes too. */
const TO_PROVIDER = "REST to provider";

async function measureRest(): Promise<void> {
  const [requester, provider] = [
    await startNode(scope, { dataDir: join(folder, "requester"), args: ["--plugins-workers", "1"] }),
    await startNode(scope, { dataDir: join(folder, "provider") }),
  ];
  const requests = Number(args.requests);
  const cases: [name: string, url: string, body: unknown][] = [
    [TO_PROVIDER, `${requester.rest}/task`, { target: provider.rpc, id: "1", input: "hello" }],
    ["REST, the node itself", `${requester.rest}/task`, { id: "1", input: "hello" }],
  ];
  for (const [name, url, task] of cases) {
    const body = JSON.stringify(task);
    await load({ url, body, requests: Math.ceil(requests / 4) });
    const { perSecond, p50Ms, p99Ms } = await load({ url, body, requests });
    console.log(
      `${name.padEnd(21)}${perSecond.toFixed(0).padStart(6)}/s  p50 ${p50Ms.toFixed(2)} ms  p99 ${
        p99Ms.toFixed(2)
      } ms  ` +
        `(${args.connections} at once, ${requests} requests, none failed)`,
    );
    if (name !== TO_PROVIDER) continue;
    console.log(`  a second ${asked({ atLeast: 3700 }, perSecond, 0)}; p99 in ms ${asked({ atMost: 11 }, p99Ms)}`);
  }
  await Promise.all([requester.stop(), provider.stop()]);
}

async function measureGrpc(fronts: number): Promise<void> {
  if (fronts > 0) console.log(`with rpc.frontThreads ${fronts}:`);
  const port = 18_081;
  const dataDir = join(folder, `grpc-${fronts}`);
  const node = ["node", "--data-dir", dataDir, "--rpc-listen", `127.0.0.1:${port}`, "--rest-listen", "127.0.0.1:0"];
  const [command, all] = commandLine([...node, "--log-level", "error", "--rpc-front-threads", String(fronts)]);
  const line = [command, ...all].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  const bench = fileURLToPath(new URL("./rpc-unary.ts", import.meta.url));
  const runtime = "Deno" in globalThis ? ["run", "-A", "--no-check"] : ["--disable-warning=ExperimentalWarning"];
  const options = [
    "--command",
    `exec ${line}`,
    "--target",
    `127.0.0.1:${port}`,
    "--function",
    "echo",
    "--plugin",
    "demo",
  ];
  const child = spawn(process.execPath, [...runtime, bench, "--requests", args.requests, ...options], {
    stdio: "inherit",
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) throw new Error(`bench/rpc-unary.ts ended with ${code}`);
}

async function main(): Promise<void> {
  try {
    if (args.only === "" || args.only === "start") await measureStart();
    if (args.only === "" || args.only === "rest") await measureRest();
    if (args.only === "" || args.only === "grpc") await measureGrpc(0);
    // Deno has none.
    if ((args.only === "" || args.only === "fronts") && !("Deno" in globalThis)) await measureGrpc(1);
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
