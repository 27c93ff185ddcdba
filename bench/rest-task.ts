/**
 * REST tasks per second: `POST /task` at 16 keep-alive connections, against a bare @hono/node-server responder that reads the
 * body and answers the same bytes, in the same run, in turns.
 *
 *     node bench/rest-task.ts                                # the REST layer alone, on a task service that answers at once
 *     node bench/rest-task.ts --url http://127.0.0.1:3000    # a node that runs; with --target host:port through a peer
 *     options: [--requests 20000] [--connections 16] [--rounds 3] [--input hello]
 *
 * The load comes from h2load (HTTP/1.1), a process of its own. CPU is that of this process, for the servers inside it. Fails
 * when one request fails.
 */
import { Buffer } from "node:buffer";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs, promisify } from "node:util";
import { getRequestListener } from "@hono/node-server";
import { ANONYMOUS, NodeError, silentLog, systemClock } from "../src/core/mod.ts";
import type { TaskService } from "../src/core/mod.ts";
import { createMetrics, createRestApp, createRestServer, DEFAULT_REST_LIMITS } from "../src/rest/mod.ts";

const { values: args } = parseArgs({
  options: {
    url: { type: "string", default: "" },
    target: { type: "string", default: "" },
    input: { type: "string", default: "hello" },
    requests: { type: "string", default: "20000" },
    connections: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
const bodyFile = join(folder, "body.json");
const logFile = join(folder, "times");
const { target, input } = args;
writeFileSync(bodyFile, JSON.stringify({ ...(target === "" ? {} : { target }), id: "1", input }));

interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of this process, in microseconds a request. */
  readonly cpuMicros: number;
}

async function load(url: string): Promise<Measured> {
  const requests = Number(args.requests);
  rmSync(logFile, { force: true });
  const cpu = process.cpuUsage();
  const options = ["--h1", `-n${requests}`, `-c${args.connections}`, `-d${bodyFile}`, `--log-file=${logFile}`];
  const { stdout } = await promisify(execFile)("h2load", [...options, url]);
  const { user, system } = process.cpuUsage(cpu);
  const succeeded = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]);
  if (succeeded !== requests) {
    throw new Error(`Only ${succeeded} of ${requests} requests to ${url} succeeded:\n${stdout}`);
  }
  // Each line: when it started, its status, how long it took; in microseconds.
  const times = readFileSync(logFile, "utf8").trim().split("\n").map((line) => Number(line.split("\t")[2]) / 1000);
  times.sort((a, b) => a - b);
  return {
    perSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1]),
    p50Ms: times[Math.floor(times.length * 0.5)]!,
    p99Ms: times[Math.floor(times.length * 0.99)]!,
    cpuMicros: (user + system) / requests,
  };
}

function readAll(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk) => chunks.push(chunk)).on("end", () => resolve(Buffer.concat(chunks))).on(
      "error",
      reject,
    );
  });
}

/** The least that @hono/node-server can do for such a request. */
async function startBare(): Promise<{ url: string; close(): void }> {
  const headers = { "Content-Type": "application/json" };
  const server = createServer(getRequestListener(async (_, { incoming }) => {
    await readAll(incoming as IncomingMessage);
    return new Response('{"id":"1","output":"world"}', { headers });
  }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/task`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The whole REST layer on a service that answers at once. */
async function startRest(): Promise<{ url: string; close(): Promise<void> }> {
  const output = Buffer.from("world");
  const usage = { wallMicros: 1, inputBytes: 5, outputBytes: 5, instructions: 0 };
  const result = Promise.resolve({ id: "x", output, contentType: "text/plain", usage, replayed: false });
  const absent = () => {
    throw new NodeError("unimplemented", "Not part of this benchmark");
  };
  const service = { run: () => result } as unknown as TaskService;
  const limits = DEFAULT_REST_LIMITS;
  const app = createRestApp({
    tasks: { at: () => service },
    plugins: {
      list: absent,
      get: absent,
      installBytes: absent,
      installUrl: absent,
      setEnabled: absent,
      remove: absent,
    },
    node: { describe: absent, sign: absent },
    peers: { info: absent },
    health: { live: () => true, ready: () => ({ ready: true, reasons: [] }) },
    metrics: createMetrics(),
    requester: ANONYMOUS,
    log: silentLog,
    clock: systemClock,
    allowedHosts: ["127.0.0.1"],
    limits,
  });
  const server = createRestServer({ app, host: "127.0.0.1", port: 0, limits, log: silentLog });
  const { port } = await server.listen();
  return { url: `http://127.0.0.1:${port}/task`, close: () => server.close() };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function main(): Promise<void> {
  const bare = await startBare();
  const rest = args.url === "" ? await startRest() : { url: `${args.url.replace(/\/$/, "")}/task`, close() {} };
  try {
    const contenders = [["bare @hono/node-server", bare.url], [
      args.url === "" ? "REST layer" : args.url,
      rest.url,
    ]] as const;
    const rounds = contenders.map((): Measured[] => []);
    for (const [, url] of contenders) await load(url); // warm-up
    for (let round = 0; round < Number(args.rounds); round++) {
      for (const [i, [, url]] of contenders.entries()) rounds[i]!.push(await load(url));
    }
    console.log(
      `POST /task, ${args.requests} requests at ${args.connections} connections, median of ${args.rounds} rounds`,
    );
    const perSecond = contenders.map(([name], i) => {
      const of = (pick: (one: Measured) => number) => median(rounds[i]!.map(pick));
      const cpu = i === 0 || args.url === "" ? `  ${of((one) => one.cpuMicros).toFixed(0)} µs CPU each` : "";
      console.log(
        `${name.padEnd(24)} ${of((one) => one.perSecond).toFixed(0).padStart(6)}/s  ` +
          `p50 ${of((one) => one.p50Ms).toFixed(2)} ms  p99 ${of((one) => one.p99Ms).toFixed(2)} ms${cpu}`,
      );
      return of((one) => one.perSecond);
    });
    console.log(`ratio to bare            ${(perSecond[1]! / perSecond[0]!).toFixed(2)}`);
  } finally {
    bare.close();
    await rest.close();
  }
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
