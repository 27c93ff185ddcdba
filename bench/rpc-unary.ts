/**
 * Unary gRPC: calls per second of the node's RPC server, alone and with its task path behind it (admission, ledger, metrics, a plugin
 * that does nothing), against a bare node:http2 responder (the ceiling) and against plain connect-node (the floor), with the same load
 * from h2load. The servers run side by side and are loaded in turns, several rounds of each, so that what else the machine does meets
 * all of them; the median round counts.
 *
 *     node bench/rpc-unary.ts [--requests 40000] [--rounds 4] [--connections 8] [--streams 16] [--input-bytes 16]
 *     node bench/rpc-unary.ts --command "velas-sphere node" --target 127.0.0.1:8081 [--function echo] [--plugin demo]
 *
 * With --command a server of your own runs beside the others (it must listen on --target), so that the whole task path can be measured.
 * Fails when one request fails. Needs h2load (Debian: nghttp2-client).
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { isDeno, noMetrics, silentLog, systemClock, type TaskService as Tasks } from "../src/core/mod.ts";
import { RunTaskRequestSchema, TaskService } from "../src/gen/velas/sphere/v1/task_pb.ts";
import { freeLedger } from "../src/payments/mod.ts";
import { createTaskProvider } from "../src/provider/mod.ts";
import { frameOf } from "../src/rpc/grpc-frame.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../src/rpc/mod.ts";
import { openMemoryStore } from "../src/storage/mod.ts";
import { asked } from "./asked.ts";

const { values: args } = parseArgs({
  options: {
    serve: { type: "string" },
    port: { type: "string", default: "0" },
    requests: { type: "string", default: "40000" },
    rounds: { type: "string", default: "4" },
    connections: { type: "string", default: "8" },
    streams: { type: "string", default: "16" },
    "input-bytes": { type: "string", default: "16" },
    plugin: { type: "string", default: "" },
    function: { type: "string", default: "" },
    command: { type: "string" },
    target: { type: "string" },
  },
});

const METHOD = "/velas.sphere.v1.TaskService/Run";
const USAGE = { wallMicros: 1, inputBytes: 16, outputBytes: 16, instructions: 0 };

/** A task service that gives the input back at once. */
const noop = {
  run: (spec) =>
    Promise.resolve({ id: "t", output: spec.input, contentType: spec.contentType, usage: USAGE, replayed: false }),
} as Partial<Tasks> as Tasks;

async function serveTasks(tasks: Tasks, port: number): Promise<number> {
  const server = createRpcServer({
    tasks,
    node: { describe: () => ({}) as never, sign: () => new Uint8Array(65) },
    health: new HealthState(),
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    limits: DEFAULT_RPC_LIMITS,
  });
  return (await server.listen({ host: "127.0.0.1", port })).port;
}

/** The RPC server before the node's own task path: everything of a task but the plugin's work. */
function serveTaskPath(port: number): Promise<number> {
  const plugin = { plugin: "noop@1.0.0", sha256: "00", function: "noop", outputContentType: "text/plain" };
  const tasks = createTaskProvider({
    store: openMemoryStore().tasks,
    host: {
      keep: () => () => {},
      resolve: () => plugin,
      // A unary call brings its input whole.
      execute: ({ input }) => Promise.resolve({ output: input as Uint8Array, contentType: "text/plain", usage: USAGE }),
    },
    ledger: freeLedger,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    maxRunning: 128,
  });
  return serveTasks(tasks, port);
}

/** Reads the body and answers every call with the bytes that came: the least a gRPC server can do. */
function serveRaw(port: number): Promise<number> {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    const chunks: Uint8Array[] = [];
    stream.on("error", () => {});
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("end", () => {
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
      stream.end(chunks[0]);
    });
  });
  return listen(server, port);
}

function serveConnect(port: number): Promise<number> {
  const handler = connectNodeAdapter({
    acceptCompression: [],
    routes: (router) =>
      router.service(TaskService, {
        run: ({ task }) => ({
          id: "t",
          output: task!.input,
          contentType: task!.contentType,
          usage: { wallMicros: 1n, inputBytes: 16n, outputBytes: 16n },
        }),
      }),
  });
  return listen(http2.createServer(handler), port);
}

function listen(server: http2.Http2Server, port: number): Promise<number> {
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => resolve((server.address() as net.AddressInfo).port));
  });
}

const SERVERS: Readonly<Record<string, (port: number) => Promise<number>>> = {
  "task path": serveTaskPath,
  "rpc server": (port) => serveTasks(noop, port),
  "raw node:http2": serveRaw,
  "connect-node": serveConnect,
};

/** The name of the server that --command starts. */
const COMMAND = "command";

interface Figures {
  readonly name: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Starts one of the servers in a process of its own. */
async function start(name: string): Promise<{ child: ChildProcess; target: string }> {
  const flags = isDeno ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...flags, fileURLToPath(import.meta.url), "--serve", name], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (line: Uint8Array) => resolve(String(line).trim()));
    child.once("exit", () => reject(new Error(`The server ${name} ended before it listened`)));
  });
  return { child, target: `127.0.0.1:${port}` };
}

async function startCommand(command: string, target: string): Promise<{ child: ChildProcess; target: string }> {
  const child = spawn(command, { shell: true, stdio: ["ignore", "ignore", "inherit"], detached: true });
  const [host, port] = target.split(":") as [string, string];
  for (let attempt = 0; attempt < 300; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ host, port: Number(port) }, () => resolve(true));
      socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
    });
    if (open) return { child, target };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Nothing listens on ${target} after 30 s`);
}

/** Makes one call and checks that it succeeds: h2load looks at the HTTP status only. */
async function checkOne(target: string, frame: Uint8Array): Promise<void> {
  const session = http2.connect(`http://${target}`);
  try {
    const status = await new Promise<string>((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":method": "POST", ":path": METHOD, "content-type": "application/grpc" });
      stream.on("error", reject);
      let found = "";
      const look = (headers: http2.IncomingHttpHeaders) => {
        found = String(headers["grpc-status"] ?? found) + (headers["grpc-message"] ?? "");
      };
      stream.on("response", look).on("trailers", look).on("end", () => resolve(found)).resume();
      stream.end(frame);
    });
    if (status !== "0") throw new Error(`The server at ${target} answers a call with grpc-status ${status}`);
  } finally {
    session.close();
  }
}

/** The figures of one load. */
interface Round {
  readonly perSecond: number;
  readonly micros: readonly number[];
}

async function load(target: string, folder: string, requests: number): Promise<Round> {
  const log = join(folder, "load.log");
  rmSync(log, { force: true });
  const { stdout } = await promisify(execFile)("h2load", [
    ...[
      "-n",
      String(requests),
      "-c",
      args.connections,
      "-m",
      args.streams,
      "-d",
      join(folder, "body"),
      `--log-file=${log}`,
    ],
    ...["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 30S"],
    `http://${target}${METHOD}`,
  ]);
  const counts = /(\d+) succeeded, (\d+) failed/.exec(stdout);
  if (counts?.[1] !== String(requests) || counts[2] !== "0") throw new Error(`Requests failed\n${stdout}`);
  const micros = readFileSync(log, "utf8").trim().split("\n").map((line) => Number(line.split("\t")[2]));
  return { perSecond: Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(stdout)![1]), micros };
}

function figuresOf(name: string, rounds: readonly Round[]): Figures {
  const micros = rounds.flatMap((round) => round.micros).sort((a, b) => a - b);
  const quantile = (q: number) => micros[Math.min(micros.length - 1, Math.floor(q * micros.length))]! / 1000;
  const rates = rounds.map((round) => round.perSecond).sort((a, b) => a - b);
  return { name, perSecond: rates[Math.floor(rates.length / 2)]!, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

async function main(): Promise<void> {
  if (args.serve !== undefined) {
    console.log(await SERVERS[args.serve]!(Number(args.port)));
    return;
  }
  const spec = { plugin: args.plugin, function: args.function, input: new Uint8Array(Number(args["input-bytes"])) };
  const frame = frameOf(toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { task: spec })));
  const folder = mkdtempSync(join(tmpdir(), "velas-bench-"));
  writeFileSync(join(folder, "body"), frame);
  const names = args.command === undefined ? Object.keys(SERVERS) : [...Object.keys(SERVERS), COMMAND];
  const perRound = Math.ceil(Number(args.requests) / Number(args.rounds));
  const servers: { readonly name: string; readonly child: ChildProcess; readonly target: string; rounds: Round[] }[] =
    [];
  try {
    for (const name of names) {
      const started = name === COMMAND
        ? await startCommand(args.command!, args.target ?? "127.0.0.1:8081")
        : await start(name);
      servers.push({ name, ...started, rounds: [] });
      await checkOne(started.target, frame);
      await load(started.target, folder, perRound);
    }
    for (let round = 0; round < Number(args.rounds); round++) {
      for (const { target, rounds } of servers) rounds.push(await load(target, folder, perRound));
    }
  } finally {
    for (const { name, child } of servers) {
      // A command may be a shell with children: the whole group ends.
      if (name === COMMAND) process.kill(-child.pid!, "SIGTERM");
      else child.kill("SIGKILL");
    }
    rmSync(folder, { recursive: true, force: true });
  }
  const figures = servers.map(({ name, rounds }) => figuresOf(name, rounds));
  const rate = (name: string) => figures.find((each) => each.name === name)!.perSecond;
  console.log(
    `${
      perRound * Number(args.rounds)
    } requests each, ${args.connections} connections × ${args.streams} streams, none failed`,
  );
  for (const { name, perSecond, p50Ms, p99Ms } of figures) {
    console.log(
      `${name.padEnd(16)} ${perSecond.toFixed(0).padStart(7)}/s  p50 ${p50Ms.toFixed(2)} ms  p99 ${
        p99Ms.toFixed(2)
      } ms  ` +
        `${(perSecond / rate("raw node:http2")).toFixed(2)} × raw  ${
          (perSecond / rate("connect-node")).toFixed(2)
        } × connect-node`,
    );
  }
  for (const name of ["task path", ...(args.command === undefined ? [] : [COMMAND])]) {
    const [ofRaw, ofConnect] = [rate(name) / rate("raw node:http2"), rate(name) / rate("connect-node")];
    console.log(`${name} of raw: ${asked({ atLeast: 0.5 }, ofRaw)}`);
    console.log(`${name} of connect-node: ${asked({ atLeast: 3 }, ofConnect)}`);
  }
}

await main();
