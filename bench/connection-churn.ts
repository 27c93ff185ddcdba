/**
 * Connection churn: rounds of many short connections, each with a few calls, against the RPC server in a process of its own. Prints how
 * much its resident memory grew after the rounds in which it warms up. Fails when a request fails or the server ends.
 *
 *     node bench/connection-churn.ts [--rounds 100] [--connections 100] [--requests 3] [--warm 10]
 *
 * Needs h2load (Debian: nghttp2-client).
 */
import { execFile, spawn } from "node:child_process";
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

const { values: args } = parseArgs({
  options: {
    serve: { type: "boolean", default: false },
    rounds: { type: "string", default: "100" },
    connections: { type: "string", default: "100" },
    requests: { type: "string", default: "3" },
    warm: { type: "string", default: "10" },
  },
});

const USAGE = { wallMicros: 1, inputBytes: 16, outputBytes: 16, instructions: 0 };

async function serve(): Promise<void> {
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
  console.log((await server.listen({ host: "127.0.0.1", port: 0 })).port);
  // Each line that comes in is answered with the resident memory, after garbage was collected where the runtime lets us.
  process.stdin.on("data", () => {
    (globalThis as { gc?: () => void }).gc?.();
    console.log(process.memoryUsage().rss);
  });
}

async function main(): Promise<void> {
  const flags = isDeno ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc"] : ["--expose-gc"];
  const child = spawn(process.execPath, [...flags, fileURLToPath(import.meta.url), "--serve"], {
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
    const residentMiB = async () => {
      child.stdin.write("\n");
      return Number(await nextLine()) / 2 ** 20;
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
    let warmMiB = await residentMiB();
    console.log(`before: ${warmMiB.toFixed(1)} MiB resident`);
    for (let i = 1; i <= rounds; i++) {
      await Promise.race([round(), ended]);
      if (i === Number(args.warm)) {
        warmMiB = await residentMiB();
        console.log(`after round ${i}: ${warmMiB.toFixed(1)} MiB`);
      } else if (i % 25 === 0) {
        console.log(`after round ${i}: ${(await residentMiB()).toFixed(1)} MiB`);
      }
    }
    const endMiB = await residentMiB();
    console.log(
      `${rounds} rounds of ${args.connections} connections: ${(endMiB - warmMiB).toFixed(1)} MiB growth after round ` +
        `${args.warm} (${(endMiB / warmMiB).toFixed(2)} ×)`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
    child.kill("SIGKILL");
  }
}

await (args.serve ? serve() : main());
