/**
 * What tracing costs a task: `POST /task` at 16 keep-alive connections on a node without tracing, one that traces every call, and one
 * that traces up to 100 calls a second, the default, in turns whose order changes. The collector only takes the bytes; it and h2load share
 * the machine with the nodes, so the node's own CPU time for each task, which includes that of sending its spans, says more than the
 * rate. The shares are medians of the rounds, each node against the one without tracing in the same round.
 *
 *     node bench/tracing.ts [--requests 20000] [--rounds 5]
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
  options: { requests: { type: "string", default: "20000" }, rounds: { type: "string", default: "5" } },
});
const requests = Number(args.requests);
/** Within it the full batches that are left go out. */
const SETTLE_MS = 200;
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const body = join(folder, "body.json");
writeFileSync(body, '{"id":"1","input":"hello"}');

interface Node {
  readonly name: string;
  readonly rest: string;
  readonly child: ReturnType<typeof spawn>;
  readonly rounds: Round[];
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
      return { name, rest, child, rounds: [] };
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
const nodes: Node[] = [];
try {
  nodes.push(await startNode("not traced", []));
  nodes.push(await startNode("every call", ["--tracing-otlp-url", url, "--tracing-calls-per-second", "1000000"]));
  nodes.push(await startNode("as by default", ["--tracing-otlp-url", url]));
  for (const node of nodes) await load(node); // warm-up
  for (let round = 0; round < Number(args.rounds); round++) {
    const first = round % nodes.length;
    for (const node of [...nodes.slice(first), ...nodes.slice(0, first)]) node.rounds.push(await load(node));
  }
  console.log(`POST /task, ${requests} requests at 16 connections, median of ${args.rounds} rounds`);
  for (const node of nodes) {
    const figure = (of: keyof Round, digits: number, unit: string) => {
      const share = median(node.rounds.map((round, i) => round[of] / nodes[0]!.rounds[i]![of])) - 1;
      return `${median(node.rounds.map((round) => round[of])).toFixed(digits)} ${unit} (${(share * 100).toFixed(1)} %)`;
    };
    const [exported, dropped] = await Promise.all(
      ["exported", "dropped"].map((result) => readMetric(node, `velas_trace_spans_total{result="${result}"}`)),
    );
    console.log(
      `${node.name.padEnd(14)} ${figure("perSecond", 0, "a second")}, ${figure("cpuMicros", 1, "µs CPU each")}, ` +
        `${exported} spans exported, ${dropped} dropped`,
    );
  }
} finally {
  for (const { child } of nodes) child.kill("SIGTERM");
  collector.close();
  collector.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}
