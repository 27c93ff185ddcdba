/**
 * What tracing costs a task: `POST /task` at 16 keep-alive connections on a node without tracing, one that traces every call, and one
 * that traces up to 100 calls a second, the default, in turns. The collector only takes the bytes; it and h2load share the machine with the nodes, so
 * the node's own CPU time for each task says more than the rate.
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
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

const { values: args } = parseArgs({
  options: { requests: { type: "string", default: "20000" }, rounds: { type: "string", default: "5" } },
});
const requests = Number(args.requests);
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const body = join(folder, "body.json");
writeFileSync(body, '{"id":"1","input":"hello"}');

interface Node {
  readonly name: string;
  readonly rest: string;
  readonly child: ReturnType<typeof spawn>;
  readonly perSecond: number[];
  readonly cpuMicros: number[];
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
      return { name, rest, child, perSecond: [], cpuMicros: [] };
    }
  }
  throw new Error(`The node "${name}" did not start`);
}

async function cpuSecondsOf({ rest }: Node): Promise<number> {
  const text = await (await fetch(`${rest}/metrics`)).text();
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(text)?.[1]);
}

async function load(node: Node): Promise<{ perSecond: number; cpuMicros: number }> {
  const before = await cpuSecondsOf(node);
  const options = ["--h1", `-n${requests}`, "-c16", `-d${body}`, `${node.rest}/task`];
  const { stdout } = await promisify(execFile)("h2load", options);
  const succeeded = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]);
  if (succeeded !== requests) throw new Error(`Only ${succeeded} of ${requests} requests succeeded:\n${stdout}`);
  const cpuMicros = (await cpuSecondsOf(node) - before) * 1e6 / requests;
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
    for (const node of nodes) {
      const { perSecond, cpuMicros } = await load(node);
      node.perSecond.push(perSecond);
      node.cpuMicros.push(cpuMicros);
    }
  }
  console.log(`POST /task, ${requests} requests at 16 connections, median of ${args.rounds} rounds`);
  for (const { name, perSecond, cpuMicros } of nodes) {
    const share = (pick: (node: Node) => readonly number[], own: readonly number[]) =>
      `${((median(own) / median(pick(nodes[0]!)) - 1) * 100).toFixed(1)} %`;
    console.log(
      `${name.padEnd(14)} ${median(perSecond).toFixed(0).padStart(6)}/s (${share((n) => n.perSecond, perSecond)})  ` +
        `${median(cpuMicros).toFixed(1)} µs CPU each (${share((n) => n.cpuMicros, cpuMicros)})`,
    );
  }
} finally {
  for (const { child } of nodes) child.kill("SIGTERM");
  collector.close();
  collector.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}
