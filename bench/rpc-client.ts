// Unary gRPC calls of the client transport against Connect's own, on one connection to one raw node:http2 responder in another thread.
// Prints calls per second of both, for an empty-ish and for a larger message, and their ratio. Count and time are bounded.
import { once } from "node:events";
import { createServer } from "node:http2";
import process from "node:process";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { parseTarget, systemClock } from "../src/core/mod.ts";
import { RunTaskResponseSchema, TaskService } from "../src/gen/velas/sphere/v1/task_pb.ts";
import { SessionPool } from "../src/rpc/client/session-pool.ts";
import { createPeerTransport } from "../src/rpc/client/transport.ts";

const CALLS = Number(process.env["CALLS"] ?? 20_000);
const CONCURRENCY = 64;
const ROUNDS = 3;

/** Answers every call with the same response. */
function respond(): void {
  const message = toBinary(
    RunTaskResponseSchema,
    create(RunTaskResponseSchema, { id: "1", output: new Uint8Array(32) }),
  );
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  const server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("data", () => {});
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
      stream.end(frame);
    });
  });
  server.listen(0, "127.0.0.1", () => parentPort!.postMessage((server.address() as { port: number }).port));
}

async function measure(transport: Transport, input: Uint8Array<ArrayBuffer>): Promise<number> {
  const client = createClient(TaskService, transport);
  const startedAt = performance.now();
  let left = CALLS;
  const lane = async () => {
    while (left-- > 0) await client.run({ task: { input } }, { headers: { "velas-request-id": "bench" } });
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return CALLS / ((performance.now() - startedAt) / 1000);
}

async function main(): Promise<void> {
  const worker = new Worker(new URL(import.meta.url));
  const [port] = await once(worker, "message") as [number];
  const pool = new SessionPool({
    connectTimeoutMs: 5000,
    idleTimeoutMs: 60_000,
    pingIntervalMs: 30_000,
    pingTimeoutMs: 10_000,
    backoffMs: 100,
    maxBackoffMs: 1000,
    maxSessions: 8,
    clock: systemClock,
    random: Math.random,
  });
  const ours = createPeerTransport(parseTarget(`127.0.0.1:${port}`), {
    pool,
    readMaxBytes: 1 << 24,
    writeMaxBytes: 1 << 24,
    userAgent: "bench",
  });
  const theirs = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, acceptCompression: [] });
  for (const bytes of [32, 4096]) {
    const input = new Uint8Array(bytes);
    const rates = { ours: 0, theirs: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      rates.theirs = Math.max(rates.theirs, await measure(theirs, input));
      rates.ours = Math.max(rates.ours, await measure(ours, input));
    }
    console.log(
      `${bytes} B: ours ${Math.round(rates.ours)}/s, Connect ${Math.round(rates.theirs)}/s, ratio ${
        (rates.ours / rates.theirs).toFixed(2)
      }`,
    );
  }
  await pool.close();
  await worker.terminate();
  process.exit(0);
}

if (isMainThread) await main();
else respond();
