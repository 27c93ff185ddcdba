import { Buffer } from "node:buffer";
import { type Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { NodeError } from "../core/mod.ts";
import { ErrorDetailSchema } from "../gen/velas/sphere/v1/error_pb.ts";
import { CONNECT_CODES, toErrorDetail } from "./errors.ts";

/** The bytes before each message of gRPC: a flag for compression, and the length in four bytes, big-endian. */
export const FRAME_HEADER_BYTES = 5;

/** Puts the frame header before a message, which costs a copy. */
export function frameOf(message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * What stands before the bytes of a message that has one field of type `bytes` and nothing else: frame header, tag and length (Protocol Buffers,
 * "Encoding"). So large bytes can be sent without a copy.
 */
export function bytesFieldHead(field: number, length: number): Uint8Array {
  const head = fieldHead(field, length);
  return Buffer.concat([frameHeader(head.length + length), head]);
}

/** The frame of a message that has fields of type `bytes` and nothing else, in parts of which those are some; empty ones are left out. */
export function bytesFieldsFrame(fields: readonly (readonly [field: number, bytes: Uint8Array])[]): Uint8Array[] {
  const parts = fields.flatMap(([field, bytes]) => bytes.length === 0 ? [] : [fieldHead(field, bytes.length), bytes]);
  return [frameHeader(parts.reduce((sum, part) => sum + part.length, 0)), ...parts];
}

function frameHeader(length: number): Uint8Array {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32BE(length, 1);
  return header;
}

function fieldHead(field: number, length: number): Uint8Array {
  return Uint8Array.from([...varint(field * 8 + LENGTH_DELIMITED), ...varint(length)]);
}

/** The wire type of strings, bytes and messages. */
export const LENGTH_DELIMITED = 2;

function varint(value: number): number[] {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Reads a `grpc-timeout` header into milliseconds; undefined when it has not the form that gRPC gives it. */
export function parseGrpcTimeout(text: string): number | undefined {
  const match = TIMEOUT.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2]!]!;
}

/**
 * A request that is not well-formed gRPC. Such a call gets the code that gRPC and Connect give it, whatever the detail says, so that
 * every way to the same method answers alike.
 */
export class FrameError extends Error {
  readonly code: Code;
  readonly error: NodeError;

  constructor(code: Code, error: NodeError) {
    super(error.message);
    this.code = code;
    this.error = error;
  }
}

/** The trailers that answer a failed call: the code, the message percent-encoded, and the detail. */
export function statusTrailers(error: NodeError, code: Code = CONNECT_CODES[error.code]): Record<string, string> {
  const connectError = new ConnectError(error.message.toWellFormed(), code, undefined, [
    { desc: ErrorDetailSchema, value: toErrorDetail(error) },
  ]);
  return statusOf(connectError);
}

/** The trailers of a status. */
export function statusOf(error: ConnectError): Record<string, string> {
  return Object.fromEntries(setTrailerStatus(new Headers(), error));
}
