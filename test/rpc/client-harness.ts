import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type CallContext, NodeError, type TaskSpec } from "../../src/core/mod.ts";
import { RunTaskResponseSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { createPeers, type PeerLimits, type Peers } from "../../src/rpc/client/mod.ts";

export const bytes = (text: string) => new TextEncoder().encode(text);
export const text = (value: Uint8Array) => new TextDecoder().decode(value);

/** Peers with short waits, for servers on loopback that misbehave. */
export function openPeers(limits: Partial<PeerLimits> = {}): Peers {
  return createPeers({ limits: { backoffMs: 2, maxBackoffMs: 10, ...limits } });
}

export function spec(input: string | Uint8Array = "hello", fields: Partial<TaskSpec> = {}): TaskSpec {
  const given = typeof input === "string" ? bytes(input) : input;
  return { id: "", plugin: "", function: "", contentType: "", limits: {}, priority: 0, input: given, ...fields };
}

/** A caller; without a deadline unless one is given. */
export function caller(fields: Partial<CallContext> = {}): CallContext {
  return { requester: "anonymous", signal: new AbortController().signal, requestId: "r1", ...fields };
}

/** Matches a NodeError, for `assert.rejects`. */
export function failing(code: string, message = /./, check: (error: NodeError) => void = () => {}) {
  return (reason: unknown) => {
    assert(reason instanceof NodeError, `${reason}`);
    assert.equal(reason.code, code, reason.message);
    assert.match(reason.message, message);
    check(reason);
    return true;
  };
}

/** A serialized message behind its gRPC header. */
export function frame(message: Uint8Array, flags = 0): Buffer {
  const header = Buffer.alloc(5);
  header[0] = flags;
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** The frame of a run's response. */
export function runFrame(
  init: MessageInitShape<typeof RunTaskResponseSchema> = { id: "1", output: bytes("ok") },
): Buffer {
  return frame(toBinary(RunTaskResponseSchema, create(RunTaskResponseSchema, init)));
}

/** Answers a stream with pieces of a body, then trailers. */
export function answer(
  stream: ServerHttp2Stream,
  pieces: readonly Uint8Array[],
  trailers: Record<string, string> = { "grpc-status": "0" },
  headers: Record<string, string> = {},
): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...headers }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  for (const piece of pieces) stream.write(piece);
  stream.end();
}

/** Answers with a status and no message. */
export function refuse(stream: ServerHttp2Stream, status: number, message = ""): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": `${status}`, "grpc-message": message },
    { endStream: true },
  );
}

/** The one message of a request's body. */
export async function readRequest<D extends DescMessage>(stream: ServerHttp2Stream, desc: D) {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return fromBinary(desc, Buffer.concat(pieces).subarray(5));
}
