/**
 * Connection churn: rounds of many short connections, each with a few calls. First against a whole node, from outside, as it is run (or the
 * executable that VELAS_SPHERE_EXE names), once with gRPC tasks and once, on a node of its own, with one `POST /task` a connection: prints by how
 * much resident memory after any later round exceeds that after the one with which it is warm, and by how much it does so in the middle of ten
 * rounds: of the last ten, beside the ten that follow the warm one. Memory counts as grown when that is more than the last ten differ among
 * themselves; the first of them still rise, so that what they differ by is no measure of chance. Then on new nodes that are let rest for some
 * seconds after every tenth round: prints by how much more memory they have at rest after the last one than after the warm one. Then against the
 * RPC server in a process of its own and a bare node:http2 server, with garbage collected before each look: prints how much memory and heap grew
 * since they were warm; what the bare server grows too is the runtime's. Fails when a request fails or a server ends.
 *
 *     node bench/connection-churn.ts [--rounds 100] [--connections 100] [--requests 3] [--warm 10]
 *
 * Needs h2load (Debian: nghttp2-client).
 */
import { execFile, spawn } from "node:child_process";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { isDeno, letSocketsGo, noMetrics, silentLog, systemClock, type TaskService as Tasks } from "../src/core/mod.ts";
import { RunTaskRequestSchema } from "../src/gen/velas/sphere/v1/task_pb.ts";
import { frameOf } from "../src/rpc/grpc-frame.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../src/rpc/mod.ts";
import { startNode } from "../test/e2e/harness.ts";
import { asked } from "./asked.ts";

const { values: args } = parseArgs({
  options: {
    serve: { type: "string" },
    rounds: { type: "string", default: "100" },
    connections: { type: "string", default: "100" },
    requests: { type: "string", default: "3" },
    warm: { type: "string", default: "10" },
  },
});

const USAGE = { wallMicros: 1, inputBytes: 16, outputBytes: 16, instructions: 0 };

async function serveNode(): Promise<number> {
  letSocketsGo();
  const tasks = {
    run: (spec) => Promise.resolve({ id: "t", output: spec.input, contentType: "", usage: USAGE, replayed: false }),
  } as Partial<Tasks> as Tasks;
  const server = createRpcServer({
    tasks,
    node: { describe: () => ({}) as never, sign: () => new Uint8Array(65) },
    health: new HealthState(),
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    limits: DEFAULT_RPC_LIMITS,
  });
  return (await server.listen({ host: "127.0.0.1", port: 0 })).port;
}

function serveRaw(): Promise<number> {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.on("end", () => {
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
      stream.end(new Uint8Array(5));
    });
    stream.resume();
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

const SERVERS: Readonly<Record<string, () => Promise<number>>> = {
  "node server": serveNode,
  "raw node:http2": serveRaw,
};

interface Memory {
  readonly residentMiB: number;
  readonly heapMiB: number;
  /** Pages that V8 holds for its heap, in use or not. */
  readonly heapPagesMiB: number;
  /** What JavaScript holds outside of the heap: buffers, and what node:http2 counts. */
  readonly externalMiB: number;
}

async function serve(name: string): Promise<void> {
  console.log(await SERVERS[name]!());
  // Each line that comes in is answered with the memory in use, after garbage was collected.
  process.stdin.on("data", () => {
    (globalThis as { gc?: () => void }).gc?.();
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
    const [residentMiB, heapMiB, heapPagesMiB, externalMiB] = [rss, heapUsed, heapTotal, external].map((bytes) =>
      bytes / 2 ** 20
    ) as [number, number, number, number];
    console.log(JSON.stringify({ residentMiB, heapMiB, heapPagesMiB, externalMiB } satisfies Memory));
  });
}

/** One round against the server at a port. Throws when a request fails. */
type Round = (port: number) => Promise<void>;

/** What the connections of a round are for. */
interface Traffic {
  readonly requestsEach: number;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly path: string;
  /** What h2load is told besides. */
  readonly flags: readonly string[];
}

function grpcTasks(input: Uint8Array<ArrayBuffer>): Traffic {
  const request = create(RunTaskRequestSchema, { task: { plugin: "demo", input } });
  return {
    requestsEach: Number(args.requests),
    body: Uint8Array.from(frameOf(toBinary(RunTaskRequestSchema, request))),
    path: "/velas.sphere.v1.TaskService/Run",
    flags: ["-H", "content-type: application/grpc", "-H", "te: trailers"],
  };
}

const REST_TASKS: Traffic = {
  requestsEach: 1,
  body: new TextEncoder().encode(JSON.stringify({ id: "1", input: "hello" })),
  path: "/task",
  flags: ["--h1", "-H", "content-type: application/json", "-H", "connection: close"],
};

/** Gives a round to what runs many, with the file of requests that it needs for as long as that. */
async function withRound<T>(traffic: Traffic, run: (round: Round) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  try {
    const body = join(folder, "body");
    writeFileSync(body, traffic.body);
    const total = String(Number(args.connections) * traffic.requestsEach);
    return await run(async (port) => {
      const { stdout } = await promisify(execFile)("h2load", [
        ...["-n", total, "-c", args.connections, "-m", "1", "-d", body, ...traffic.flags],
        `http://127.0.0.1:${port}${traffic.path}`,
      ]);
      if (!stdout.includes(`${total} succeeded, 0 failed`)) throw new Error(`Requests failed\n${stdout}`);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A node collects what its start has left after two seconds, which would hide what rounds leave. */
const START_MS = 3500;

/** How many rounds are looked at together. */
const WINDOW = 10;

/** Resident memory after some rounds, in MiB. */
interface Window {
  readonly median: number;
  /** The most less the least. */
  readonly spread: number;
}

function windowOf(resident: readonly number[]): Window {
  const sorted = resident.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return { median: (sorted[half]! + sorted[(sorted.length - 1) >> 1]!) / 2, spread: sorted.at(-1)! - sorted[0]! };
}

/** How resident memory went on after the warm round. */
interface Growth {
  /** By how much it exceeds after any later round that after the warm one, in percent. */
  readonly mostPercent: number;
  /** The same after the last round. */
  readonly lastPercent: number;
  /** The rounds after the warm one. */
  readonly first: Window;
  readonly last: Window;
}

/** Longer than a node waits after many connections before it gives their memory back. */
const REST_MS = 5000;

/** After how many rounds a node that is let rest has one. */
const RESTED_ROUNDS = 10;

/** Runs all rounds against a whole node. With rests, every tenth counts some seconds after it ended. */
async function churnWhole(name: "gRPC" | "REST", { rests }: { readonly rests: boolean }): Promise<Growth> {
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const node = await startNode({ after: (cleanup) => void cleanups.push(cleanup) }, {
      dataDir: join(folder, "node"),
    });
    const address = name === "gRPC" ? node.rpc : node.rest;
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    const warm = Number(args.warm);
    const resident: number[] = [];
    await new Promise((resolve) => setTimeout(resolve, START_MS));
    await withRound(name === "gRPC" ? grpcTasks(new TextEncoder().encode("hello")) : REST_TASKS, async (round) => {
      for (let i = 1; i <= Number(args.rounds); i++) {
        await round(port);
        if (rests && i % RESTED_ROUNDS === 0) {
          await new Promise((resolve) => setTimeout(resolve, REST_MS));
        }
        const status = readFileSync(`/proc/${node.child.pid}/status`, "utf8");
        resident.push(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024);
        if (i === warm || i % (rests ? RESTED_ROUNDS : 25) === 0) {
          console.log(`whole node, ${name}, after round ${i}: ${resident.at(-1)!.toFixed(1)} MiB resident`);
        }
      }
    });
    await node.stop();
    const later = resident.slice(warm);
    const most = Math.max(...later);
    console.log(`whole node, ${name}: at most ${most.toFixed(1)} MiB resident after round ${warm}`);
    return {
      lastPercent: (resident.at(-1)! / resident[warm - 1]! - 1) * 100,
      mostPercent: (most / resident[warm - 1]! - 1) * 100,
      first: windowOf(later.slice(0, WINDOW)),
      last: windowOf(later.slice(-WINDOW)),
    };
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

/** Runs all rounds against one server. Gives how much its resident memory grew after it was warm, in MiB. */
async function churn(name: string): Promise<number> {
  // A young generation of bounded size, or its growth to 100 MiB hides what is looked for.
  const flags = isDeno
    ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc,--max-semi-space-size=16"]
    : ["--expose-gc", "--max-semi-space-size=16"];
  const child = spawn(process.execPath, [...flags, fileURLToPath(import.meta.url), "--serve", name], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<never>((_, reject) => {
    child.once("exit", (code, signal) => reject(new Error(`The server ended: ${code ?? signal}`)));
  });
  ended.catch(() => {});
  const nextLine = () => {
    const line = new Promise<string>((resolve) =>
      child.stdout.once("data", (data: Uint8Array) => resolve(`${data}`.trim()))
    );
    return Promise.race([line, ended]);
  };
  try {
    const port = Number(await nextLine());
    const memory = async (when: string): Promise<Memory> => {
      child.stdin.write("\n");
      const found = JSON.parse(await nextLine()) as Memory;
      console.log(
        `${name}, ${when}: ${found.residentMiB.toFixed(1)} MiB resident, ${found.heapMiB.toFixed(1)} of ` +
          `${found.heapPagesMiB.toFixed(1)} MiB of heap, ${found.externalMiB.toFixed(1)} MiB outside of it`,
      );
      return found;
    };
    const rounds = Number(args.rounds);
    let warm = await memory("before");
    await withRound(grpcTasks(new Uint8Array(16)), async (round) => {
      for (let i = 1; i <= rounds; i++) {
        await Promise.race([round(port), ended]);
        if (i === Number(args.warm)) warm = await memory(`after round ${i}`);
        else if (i % 25 === 0 && i !== rounds) await memory(`after round ${i}`);
      }
    });
    const end = await memory(`after round ${rounds}`);
    const grown = (key: keyof Memory) =>
      `${(end[key] - warm[key]).toFixed(1)} MiB (${(end[key] / warm[key]).toFixed(2)} ×)`;
    console.log(
      `${name}: ${rounds} rounds of ${args.connections} connections; growth after round ${args.warm}: ` +
        `resident ${grown("residentMiB")}, heap ${grown("heapMiB")}`,
    );
    return end.residentMiB - warm.residentMiB;
  } finally {
    child.kill("SIGKILL");
  }
}

if (args.serve === undefined) {
  if (Number(args.rounds) < Number(args.warm) + 2 * WINDOW) {
    throw new Error(`--rounds is ${args.rounds}: it takes ${2 * WINDOW} more than --warm, or more rounds`);
  }
  for (const name of ["gRPC", "REST"] as const) {
    const { mostPercent, first, last } = await churnWhole(name, { rests: false });
    const show = ({ median, spread }: Window) => `${median.toFixed(1)} MiB (they differ by ${spread.toFixed(1)})`;
    console.log(`whole node, ${name}: the ten rounds after the warm one ${show(first)}, the last ten ${show(last)}`);
    console.log(`growth in percent of the whole node, ${name}, most: ${asked({ atMost: 2 }, mostPercent, 1)}`);
    const noise = Number(last.spread.toFixed(1));
    console.log(`growth in MiB of the whole node, ${name}: ${asked({ atMost: noise }, last.median - first.median, 1)}`);
  }
  for (const name of ["gRPC", "REST"] as const) {
    const { lastPercent } = await churnWhole(name, { rests: true });
    console.log(`growth in percent of the whole node, ${name}, at rest: ${asked({ atMost: 1 }, lastPercent, 1)}`);
  }
  const grown: number[] = [];
  for (const name of Object.keys(SERVERS)) grown.push(await churn(name));
  const [node = 0, raw = 0] = grown;
  console.log(`growth beside the bare server: ${(node / raw).toFixed(2)} ×`);
  console.log(`growth in MiB beyond the runtime's own, ${raw.toFixed(1)}: ${asked({ atMost: 0 }, node - raw, 1)}`);
} else {
  await serve(args.serve);
}
