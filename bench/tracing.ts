/**
 * What tracing costs a task: `POST /task` at 16 keep-alive connections on a node without tracing, one that traces every call, and one
 * that traces up to 100 calls a second, the default, in turns whose order changes. The collector only takes the bytes; it and h2load share
 * the machine with the nodes, so the node's own CPU time for each task, which includes that of sending its spans, says more than the
 * rate. The shares are medians of the rounds, each node against the one without tracing in the same round; the
 * nodes are started several times, in another order each time, since the same code takes up to a fifth more or less from one start to
 * another.
 *
 *     node bench/tracing.ts [--requests 10000] [--rounds 3] [--starts 6]
 *
 * Fails when one request fails.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const { values: args } = parseArgs({
  options: {
    requests: { type: "string", default: "10000" },
    rounds: { type: "string", default: "3" },
    starts: { type: "string", default: "6" },
  },
});
const requests = Number(args.requests);
/** Within it the full batches that are left go out. */
const SETTLE_MS = 200;
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const body = join(folder, "body.json");
writeFileSync(body, '{"id":"1","input":"hello"}');

interface Node {
  readonly rest: string;
  readonly child: ReturnType<typeof spawn>;
}

interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function startNode(name: string, more: readonly string[]): Promise<Node> {
  const common = ["--rest-listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", "--log-format", "json"];
  const dataDir = join(folder, name.replaceAll(" ", "-"));
  const child = spawn(process.execPath, [main, "node", "--data-dir", dataDir, ...common, ...more], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  for await (const line of createInterface({ input: child.stderr! })) {
    const rest = line.startsWith("{") ? JSON.parse(line).rest as string | undefined : undefined;
    if (rest !== undefined) {
      child.stderr!.resume();
      return { rest, child };
    }
  }
  throw new Error(`The node "${name}" did not start`);
}

async function readMetric({ rest }: Node, name: string): Promise<number> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? 0);
}

async function load(node: Node): Promise<Round> {
  const before = await readMetric(node, "process_cpu_seconds_total");
  const options = ["--h1", `-n${requests}`, "-c16", `-d${body}`, `${node.rest}/task`];
  const { stdout } = await promisify(execFile)("h2load", options);
  const succeeded = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]);
  if (succeeded !== requests) throw new Error(`Only ${succeeded} of ${requests} requests succeeded:\n${stdout}`);
  await sleep(SETTLE_MS);
  const cpuMicros = (await readMetric(node, "process_cpu_seconds_total") - before) * 1e6 / requests;
  return { perSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1]), cpuMicros };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const collector = createServer((request, response) => {
  request.resume().on("end", () => response.end("{}"));
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
const kinds = [
  { name: "not traced", flags: [] },
  { name: "every call", flags: ["--tracing-otlp-url", url, "--tracing-calls-per-second", "1000000"] },
  { name: "as by default", flags: ["--tracing-otlp-url", url] },
].map((kind) => ({ ...kind, rounds: [] as Round[], exported: 0, dropped: 0 }));
let nodes: Node[] = [];
try {
  for (let start = 0; start < Number(args.starts); start++) {
    // Which one was started and warmed up first matters more than tracing does.
    const order = kinds.map((_, i) => kinds[(start + i) % kinds.length]!);
    nodes = [];
    for (const { name, flags } of order) nodes.push(await startNode(`${name} ${start}`, flags));
    for (const node of [...nodes, ...nodes]) await load(node); // warm-up
    for (let round = 0; round < Number(args.rounds); round++) {
      for (let i = 0; i < order.length; i++) {
        const turn = (round + i) % order.length;
        order[turn]!.rounds.push(await load(nodes[turn]!));
      }
    }
    for (const [i, node] of nodes.entries()) {
      for (const result of ["exported", "dropped"] as const) {
        order[i]![result] += await readMetric(node, `velas_trace_spans_total{result="${result}"}`);
      }
      node.child.kill("SIGTERM");
    }
  }
  console.log(
    `POST /task, ${requests} requests at 16 connections, median of ${args.rounds} rounds of each of ${args.starts} starts`,
  );
  for (const { name, rounds, exported, dropped } of kinds) {
    const figure = (of: keyof Round, digits: number, unit: string) => {
      const share = median(rounds.map((round, i) => round[of] / kinds[0]!.rounds[i]![of])) - 1;
      return `${median(rounds.map((round) => round[of])).toFixed(digits)} ${unit} (${(share * 100).toFixed(1)} %)`;
    };
    console.log(
      `${name.padEnd(14)} ${figure("perSecond", 0, "a second")}, ${figure("cpuMicros", 1, "µs CPU each")}, ` +
        `${exported} spans exported, ${dropped} dropped`,
    );
  }
} finally {
  for (const { child } of nodes) child.kill("SIGTERM");
  collector.close();
  collector.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}
