/**
 * Connection churn: rounds of many short connections, each with a few calls, against the RPC server in a process of its own, and then
 * against a bare node:http2 server. Prints how much resident memory and heap grew after the rounds in which they warm up: what the bare
 * server grows too is the runtime's. Fails when a request fails or a server ends.
 *
 *     node bench/connection-churn.ts [--rounds 100] [--connections 100] [--requests 3] [--warm 10]
 *
 * Needs h2load (Debian: nghttp2-client).
 */
import { execFile, spawn } from "node:child_process";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { isDeno, noMetrics, silentLog, systemClock, type TaskService as Tasks } from "../src/core/mod.ts";
import { RunTaskRequestSchema } from "../src/gen/velas/sphere/v1/task_pb.ts";
import { frameOf } from "../src/rpc/grpc-frame.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../src/rpc/mod.ts";
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

/** Runs all rounds against one server. Gives how much its resident memory grew after it was warm, in MiB. */
async function churn(name: string): Promise<number> {
  // A young generation of bounded size, or its growth to 100 MiB hides what is looked for.
  const flags = isDeno
    ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc"]
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
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  try {
    const port = await nextLine();
    const body = join(folder, "body");
    const request = create(RunTaskRequestSchema, { task: { input: new Uint8Array(16) } });
    writeFileSync(body, frameOf(toBinary(RunTaskRequestSchema, request)));
    const total = String(Number(args.connections) * Number(args.requests));
    const memory = async (when: string): Promise<Memory> => {
      child.stdin.write("\n");
      const found = JSON.parse(await nextLine()) as Memory;
      console.log(
        `${name}, ${when}: ${found.residentMiB.toFixed(1)} MiB resident, ${found.heapMiB.toFixed(1)} of ` +
          `${found.heapPagesMiB.toFixed(1)} MiB of heap, ${found.externalMiB.toFixed(1)} MiB outside of it`,
      );
      return found;
    };
    const round = async () => {
      const { stdout } = await promisify(execFile)("h2load", [
        ...["-n", total, "-c", args.connections, "-m", "1", "-d", body],
        ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
        `http://127.0.0.1:${port}/velas.sphere.v1.TaskService/Run`,
      ]);
      if (!stdout.includes(`${total} succeeded, 0 failed`)) throw new Error(`Requests failed\n${stdout}`);
    };
    const rounds = Number(args.rounds);
    let warm = await memory("before");
    for (let i = 1; i <= rounds; i++) {
      await Promise.race([round(), ended]);
      if (i === Number(args.warm)) warm = await memory(`after round ${i}`);
      else if (i % 25 === 0 && i !== rounds) await memory(`after round ${i}`);
    }
    const end = await memory(`after round ${rounds}`);
    const grown = (key: keyof Memory) =>
      `${(end[key] - warm[key]).toFixed(1)} MiB (${(end[key] / warm[key]).toFixed(2)} ×)`;
    console.log(
      `${name}: ${rounds} rounds of ${args.connections} connections; growth after round ${args.warm}: ` +
        `resident ${grown("residentMiB")}, heap ${grown("heapMiB")}`,
    );
    return end.residentMiB - warm.residentMiB;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    child.kill("SIGKILL");
  }
}

if (args.serve === undefined) {
  const grown: number[] = [];
  for (const name of Object.keys(SERVERS)) grown.push(await churn(name));
  const [node = 0, raw = 0] = grown;
  console.log(`growth in MiB beyond the runtime's own, ${raw.toFixed(1)}: ${asked({ atMost: 0 }, node - raw, 1)}`);
} else {
  await serve(args.serve);
}
