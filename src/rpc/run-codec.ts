import { Buffer } from "node:buffer";
import type { TaskLimits, TaskResult, TaskSpec, Usage } from "../core/mod.ts";
import { FRAME_HEADER_BYTES } from "./grpc-frame.ts";

/*
 * The two messages of the hottest call, TaskService.Run, read and written by hand, on both sides of the wire: the general code takes
 * several times as long for them as the rest of the node takes for the call. The readers know the ordinary shape of a valid message
 * only. For anything else (unknown or repeated fields, text beyond ASCII in names, a broken rule) they return undefined, and the general
 * code reads the message, validates it with protovalidate and words the error. A test holds the two against each other.
 */

const TASK_ID = /^[A-Za-z0-9._~:-]*$/;
const MAX_ID = 128;
const MAX_PLUGIN = 160;
const MAX_FUNCTION = 128;
const MAX_CONTENT_TYPE = 255;
const MAX_TIMEOUT_MS = 86_400_000;
const MAX_BYTES = 4_294_967_296;
const NO_BYTES = new Uint8Array(0);
const NO_LIMITS: Partial<TaskLimits> = {};

/** Set by the readers below instead of an exception: the message is not of the ordinary shape. */
const STRANGE = -1;

/** Where the reader stands. One reader serves all calls: reading is synchronous. */
let position = 0;

/** An unsigned number below 2^49, or STRANGE. Ten-byte numbers (negative ones) are not ordinary here. */
function readVarint(bytes: Uint8Array, end: number): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 7; i++) {
    if (position >= end) return STRANGE;
    const byte = bytes[position++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 128;
  }
  return STRANGE;
}

/** The end of a length-prefixed field whose length comes next, or STRANGE. */
function readEnd(bytes: Uint8Array, end: number): number {
  const length = readVarint(bytes, end);
  return length === STRANGE || position + length > end ? STRANGE : position + length;
}

/** A short ASCII text, or undefined when it is something else. */
function readAscii(bytes: Uint8Array, end: number, maxLength: number): string | undefined {
  const textEnd = readEnd(bytes, end);
  if (textEnd === STRANGE || textEnd - position > maxLength) return undefined;
  let text = "";
  for (; position < textEnd; position++) {
    const byte = bytes[position]!;
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function readLimits(bytes: Uint8Array, end: number): Partial<TaskLimits> | undefined {
  let timeoutMs = 0;
  let memoryBytes = 0;
  let outputBytes = 0;
  let instructions = 0;
  let noGpu = false;
  while (position < end) {
    const tag = bytes[position++]!;
    const value = readVarint(bytes, end);
    if (value === STRANGE) return undefined;
    if (tag === 0x08 && value <= MAX_TIMEOUT_MS) timeoutMs = value;
    else if (tag === 0x10 && value <= MAX_BYTES) memoryBytes = value;
    else if (tag === 0x18 && value <= MAX_BYTES) outputBytes = value;
    else if (tag === 0x20) instructions = value;
    else if (tag === 0x28 && value <= 1) noGpu = value === 1;
    else return undefined;
  }
  return {
    ...(timeoutMs > 0 ? { timeoutMs } : {}),
    ...(memoryBytes > 0 ? { memoryBytes } : {}),
    ...(outputBytes > 0 ? { outputBytes } : {}),
    ...(instructions > 0 ? { instructions } : {}),
    ...(noGpu ? { noGpu } : {}),
  };
}

/**
 * Reads a serialized RunTaskRequest, when it is ordinary and valid. The spec's input is a view of the bytes. Fields that come twice are as
 * in protobuf: the last one counts, except limits, which would have to be merged and are left to the general code.
 */
export function decodeRunRequest(bytes: Uint8Array): TaskSpec | undefined {
  // RunTaskRequest { TaskSpec task = 1; } and nothing behind it.
  if (bytes.length === 0 || bytes[0] !== 0x0a) return undefined;
  position = 1;
  const end = readEnd(bytes, bytes.length);
  if (end !== bytes.length) return undefined;
  let id: string | undefined = "";
  let plugin: string | undefined = "";
  let fn: string | undefined = "";
  let contentType: string | undefined = "";
  let input: Uint8Array = NO_BYTES;
  let limits: Partial<TaskLimits> | undefined;
  let priority = 0;
  while (position < end) {
    switch (bytes[position++]) {
      case 0x0a:
        id = readAscii(bytes, end, MAX_ID);
        if (id === undefined || !TASK_ID.test(id)) return undefined;
        break;
      case 0x12:
        plugin = readAscii(bytes, end, MAX_PLUGIN);
        if (plugin === undefined) return undefined;
        break;
      case 0x1a:
        fn = readAscii(bytes, end, MAX_FUNCTION);
        if (fn === undefined) return undefined;
        break;
      case 0x22: {
        const inputEnd = readEnd(bytes, end);
        if (inputEnd === STRANGE) return undefined;
        input = bytes.subarray(position, inputEnd);
        position = inputEnd;
        break;
      }
      case 0x2a:
        contentType = readAscii(bytes, end, MAX_CONTENT_TYPE);
        if (contentType === undefined) return undefined;
        break;
      case 0x32: {
        const limitsEnd = readEnd(bytes, end);
        if (limitsEnd === STRANGE || limits !== undefined) return undefined;
        limits = readLimits(bytes, limitsEnd);
        if (limits === undefined) return undefined;
        break;
      }
      case 0x38: {
        const zigzag = readVarint(bytes, end);
        if (zigzag === STRANGE || zigzag > 200) return undefined;
        priority = zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
        break;
      }
      default:
        return undefined;
    }
  }
  return { id, plugin, function: fn, input, contentType, limits: limits ?? NO_LIMITS, priority };
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let offset = at;
  while (rest >= 128) {
    bytes[offset++] = rest % 128 | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[offset++] = rest;
  return offset;
}

const fieldLength = (value: number): number => value === 0 ? 0 : 1 + varintLength(value);

function writeField(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}

/** Writes a RunTaskResponse as a gRPC frame, in one buffer. */
export function encodeRunResponse(result: TaskResult): Uint8Array {
  const { id, output, contentType, usage, replayed } = result;
  const usageLength = fieldLength(usage.wallMicros) + fieldLength(usage.inputBytes) +
    fieldLength(usage.outputBytes) + fieldLength(usage.instructions) + fieldLength(usage.gpuMicros ?? 0);
  const length = textLength(id) +
    (output.length === 0 ? 0 : 1 + varintLength(output.length) + output.length) +
    textLength(contentType) +
    1 + varintLength(usageLength) + usageLength + (replayed ? 2 : 0);
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
  bytes[0] = 0;
  bytes.writeUInt32BE(length, 1);
  let at = writeText(bytes, FRAME_HEADER_BYTES, 0x0a, id);
  if (output.length > 0) {
    bytes[at] = 0x12;
    at = writeVarint(bytes, at + 1, output.length);
    bytes.set(output, at);
    at += output.length;
  }
  at = writeText(bytes, at, 0x1a, contentType);
  bytes[at] = 0x22;
  at = writeVarint(bytes, at + 1, usageLength);
  at = writeField(bytes, at, 0x08, usage.wallMicros);
  at = writeField(bytes, at, 0x10, usage.inputBytes);
  at = writeField(bytes, at, 0x18, usage.outputBytes);
  at = writeField(bytes, at, 0x20, usage.instructions);
  at = writeField(bytes, at, 0x28, usage.gpuMicros ?? 0);
  if (replayed) {
    bytes[at] = 0x28;
    bytes[at + 1] = 1;
  }
  return bytes;
}

/** Writes a RunTaskRequest. Undefined when a limit is no number that the message can hold: the general code says so. */
export function encodeRunRequest(spec: TaskSpec): Uint8Array | undefined {
  const { id, plugin, function: fn, input, contentType, limits, priority } = spec;
  const { timeoutMs = 0, memoryBytes = 0, outputBytes = 0, instructions = 0, noGpu = false } = limits;
  for (const limit of [timeoutMs, memoryBytes, outputBytes, instructions]) {
    if (!Number.isSafeInteger(limit) || limit < 0) return undefined;
  }
  if ((priority | 0) !== priority) return undefined;
  const zigzag = priority < 0 ? -2 * priority - 1 : 2 * priority;
  const limitsLength = fieldLength(timeoutMs) + fieldLength(memoryBytes) + fieldLength(outputBytes) +
    fieldLength(instructions) + (noGpu ? 2 : 0);
  const length = textLength(id) + textLength(plugin) + textLength(fn) + textLength(contentType) +
    (input.length === 0 ? 0 : 1 + varintLength(input.length) + input.length) +
    (limitsLength === 0 ? 0 : 1 + varintLength(limitsLength) + limitsLength) + fieldLength(zigzag);
  const bytes = Buffer.allocUnsafe(1 + varintLength(length) + length);
  bytes[0] = 0x0a;
  let at = writeVarint(bytes, 1, length);
  at = writeText(bytes, at, 0x0a, id);
  at = writeText(bytes, at, 0x12, plugin);
  at = writeText(bytes, at, 0x1a, fn);
  if (input.length > 0) {
    bytes[at] = 0x22;
    at = writeVarint(bytes, at + 1, input.length);
    bytes.set(input, at);
    at += input.length;
  }
  at = writeText(bytes, at, 0x2a, contentType);
  if (limitsLength > 0) {
    bytes[at] = 0x32;
    at = writeVarint(bytes, at + 1, limitsLength);
    at = writeField(bytes, at, 0x08, timeoutMs);
    at = writeField(bytes, at, 0x10, memoryBytes);
    at = writeField(bytes, at, 0x18, outputBytes);
    at = writeField(bytes, at, 0x20, instructions);
    if (noGpu) at = writeField(bytes, at, 0x28, 1);
  }
  writeField(bytes, at, 0x38, zigzag);
  return bytes;
}

function textLength(value: string): number {
  if (value === "") return 0;
  const length = Buffer.byteLength(value);
  return 1 + varintLength(length) + length;
}

function writeText(bytes: Buffer, at: number, tag: number, value: string): number {
  if (value === "") return at;
  bytes[at] = tag;
  const start = writeVarint(bytes, at + 1, Buffer.byteLength(value));
  return start + bytes.write(value, start);
}

const NO_USAGE: Usage = { wallMicros: 0, inputBytes: 0, outputBytes: 0, instructions: 0 };

function readUsage(bytes: Uint8Array, end: number): Usage | undefined {
  let wallMicros = 0;
  let inputBytes = 0;
  let outputBytes = 0;
  let instructions = 0;
  let gpuMicros = 0;
  while (position < end) {
    const tag = bytes[position++]!;
    const value = readVarint(bytes, end);
    if (value === STRANGE) return undefined;
    if (tag === 0x08) wallMicros = value;
    else if (tag === 0x10) inputBytes = value;
    else if (tag === 0x18) outputBytes = value;
    else if (tag === 0x20) instructions = value;
    else if (tag === 0x28) gpuMicros = value;
    else return undefined;
  }
  return { wallMicros, inputBytes, outputBytes, instructions, ...(gpuMicros > 0 && { gpuMicros }) };
}

/** Reads a serialized RunTaskResponse, when it is ordinary. The output is a view of the bytes. */
export function decodeRunResponse(bytes: Uint8Array): TaskResult | undefined {
  position = 0;
  const end = bytes.length;
  let id: string | undefined = "";
  let contentType: string | undefined = "";
  let output: Uint8Array = NO_BYTES;
  let usage: Usage | undefined;
  let replayed = false;
  while (position < end) {
    switch (bytes[position++]) {
      case 0x0a:
        id = readAscii(bytes, end, MAX_ID);
        if (id === undefined) return undefined;
        break;
      case 0x12: {
        const outputEnd = readEnd(bytes, end);
        if (outputEnd === STRANGE) return undefined;
        output = bytes.subarray(position, outputEnd);
        position = outputEnd;
        break;
      }
      case 0x1a:
        contentType = readAscii(bytes, end, MAX_CONTENT_TYPE);
        if (contentType === undefined) return undefined;
        break;
      case 0x22: {
        const usageEnd = readEnd(bytes, end);
        if (usageEnd === STRANGE || usage !== undefined) return undefined;
        usage = readUsage(bytes, usageEnd);
        if (usage === undefined) return undefined;
        break;
      }
      case 0x28: {
        const value = readVarint(bytes, end);
        if (value !== 0 && value !== 1) return undefined;
        replayed = value === 1;
        break;
      }
      default:
        return undefined;
    }
  }
  return { id, output, contentType, usage: usage ?? NO_USAGE, replayed };
}
