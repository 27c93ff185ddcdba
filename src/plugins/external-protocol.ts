import { Buffer } from "node:buffer";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  type LogLevel,
  NodeError,
  parseTarget,
  type PluginEvent,
  type TargetAddress,
  type TaskLimits,
  VERSION,
} from "../core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { Plugin as OriginalPlugin } from "../gen/resources/plugin_pb.ts";
import { ErrorDetailSchema } from "../gen/velas/sphere/v1/error_pb.ts";
import {
  ExecuteRequestSchema,
  type ExecuteResponse,
  ExecuteResponseSchema,
  PluginService,
} from "../gen/velas/sphere/v1/plugin_pb.ts";
import { LogLevel as WireLevel, TaskLimitsSchema } from "../gen/velas/sphere/v1/task_pb.ts";
import type { ExternalInput } from "./external-input.ts";
import type { ExternalManifest } from "./external-manifest.ts";
import { ExternalSession } from "./external-session.ts";
import { callFramed } from "./framed-call.ts";
import { type PluginSocket, SECRET_HEADER } from "./plugin-process.ts";

/** What a plugin sends while it executes; `result` is the last. */
export type ExternalMessage = PluginEvent | {
  readonly type: "result";
  readonly contentType: string;
  /** How long it says that it worked on the GPU. */
  readonly gpuMicros: number;
};

/** One execution, as it goes over the wire. */
export interface ExternalExecution {
  /** Unique for the node. */
  readonly id: string;
  readonly function: string;
  readonly contentType: string;
  readonly limits: TaskLimits;
  readonly input: ExternalInput;
}

/** The statuses of gRPC, by their numbers (grpc/doc/statuscodes.md), without OK. */
const GRPC_STATUSES = [
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;
export type GrpcStatus = typeof GRPC_STATUSES[number];

/** Why a call failed, freed of the wire. */
export interface WireFailure {
  /**
   * `plugin`: it answered with an error; `unserved`: it does not know the call; `connection`: it cannot be reached or the
   * connection broke; `too_large`: a message over the limit; `deadline`; `protocol`: it answered something that is not the protocol.
   */
  readonly kind: "plugin" | "unserved" | "connection" | "too_large" | "deadline" | "protocol";
  readonly message: string;
  /** The code of the ErrorDetail that the plugin sent, if any. */
  readonly code: string | undefined;
  /** The gRPC status that the plugin itself ended the call with, such as `NOT_FOUND`, if it did. */
  readonly status: GrpcStatus | undefined;
  readonly retryAfterMs: number | undefined;
}

/** Messages beside the output's may be as long as this, whatever the limit on the output. */
const MESSAGE_SLACK_BYTES = 64 << 10;
const MAX_MESSAGE_BYTES = 0xffffffff;
const MAX_TIMEOUT_VALUE = 99_999_999; // a grpc-timeout has eight digits at most

const LEVELS: Readonly<Record<WireLevel, LogLevel>> = {
  [WireLevel.UNSPECIFIED]: "info",
  [WireLevel.TRACE]: "trace",
  [WireLevel.DEBUG]: "debug",
  [WireLevel.INFO]: "info",
  [WireLevel.WARN]: "warn",
  [WireLevel.ERROR]: "error",
};

const FRAME_HEADER_BYTES = 5;
/** Tags of fields that are written and read by hand: number times 8, and 2 for what has a length (Protocol Buffers, "Encoding"). */
const REQUEST_CHUNK_TAG = 0x12;
const RESPONSE_CHUNK_TAG = 0x0a;
const RESPONSE_RESULT_TAG = 0x22;
const PLAIN_RESULT = { type: "result", contentType: "", gpuMicros: 0 } as const;

const EXECUTE_HEADERS = {
  ":method": "POST",
  ":path": `/${PluginService.typeName}/${PluginService.method.execute.name}`,
  "content-type": "application/grpc+proto",
  "te": "trailers",
  "user-agent": `velas-sphere/${VERSION}`,
} as const;

interface Clients {
  readonly plugin: Client<typeof PluginService>;
  readonly original: Client<typeof OriginalPlugin>;
  readonly health: Client<typeof Health>;
}

/** Throws `invalid_argument` for an address that cannot be read, or that asks for TLS. */
function plaintextTarget(address: string): TargetAddress {
  const target = parseTarget(address);
  if (!target.tls) return target;
  throw new NodeError(
    "invalid_argument",
    `The plugin at ${address} would be dialled with TLS, which nodes do not do: give its address as host:port, over a network that is trusted`,
  );
}

/**
 * The calls that a node makes to one external plugin, in both protocols, over one HTTP/2 connection that is opened anew when it
 * was lost. The only file of this folder that knows generated code.
 */
export class ExternalConnection {
  readonly #session: ExternalSession;
  /** One set for each limit on messages, rounded to powers of two. */
  readonly #clients = new Map<number, Clients>();

  readonly #headers: Readonly<Record<string, string>>;

  /** Throws `invalid_argument` when the address cannot be read. Connects with the first call. */
  constructor(place: string | PluginSocket, connectTimeoutMs: number) {
    const isAddress = typeof place === "string";
    this.#session = new ExternalSession(isAddress ? plaintextTarget(place) : place, connectTimeoutMs);
    this.#headers = isAddress ? {} : { [SECRET_HEADER]: place.secret };
  }

  /** What the plugin says of itself. */
  async describe(timeoutMs: number, signal: AbortSignal): Promise<ExternalManifest> {
    const manifest = await this.#for(1 << 20).plugin.describe({}, { timeoutMs, signal });
    return {
      name: manifest.name,
      version: manifest.version,
      description: manifest.description,
      maxConcurrency: manifest.maxConcurrency,
      gpu: manifest.gpu,
      functions: manifest.functions.map(({ name, inputContentType, outputContentType, description }) => (
        { name, inputContentType, outputContentType, description }
      )),
    };
  }

  /** Whether the plugin's health service says that it serves. */
  async isServing(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const { status } = await this.#for(1 << 20).health.check({ service: "" }, { timeoutMs, signal });
    return status === ServingStatus.SERVING;
  }

  /**
   * Executes a function. What it sends is taken in order, and waited for when `take` gives a promise. The call is over when the signal
   * aborts, and when `take` throws.
   */
  async execute(
    execution: ExternalExecution,
    { signal, take }: {
      readonly signal: AbortSignal;
      readonly take: (message: ExternalMessage) => void | Promise<void>;
    },
  ): Promise<void> {
    const { limits, input } = execution;
    const start = startFrame(execution);
    const whole = input.small();
    await callFramed({
      session: this.#session,
      headers: {
        ...EXECUTE_HEADERS,
        ...this.#headers,
        "grpc-timeout": `${Math.min(Math.ceil(limits.timeoutMs), MAX_TIMEOUT_VALUE)}m`,
      },
      requests: whole === undefined ? framesOf(start, input) : Buffer.concat([start, ...chunkFrame(whole)]),
      signal,
      readMaxBytes: Math.min(limits.outputBytes + MESSAGE_SLACK_BYTES, MAX_MESSAGE_BYTES),
      take(bytes) {
        const message = readMessage(bytes);
        return message === undefined ? undefined : take(message);
      },
    });
  }

  /** Tells the plugin to stop an execution. */
  async cancel(executionId: string, timeoutMs: number): Promise<void> {
    await this.#for(1 << 20).plugin.cancel({ executionId }, { timeoutMs });
  }

  /** Runs a plugin of the original kind. */
  async executeOriginal(
    job: { readonly id: string; readonly input: string; readonly limits: TaskLimits },
    signal: AbortSignal,
  ): Promise<string> {
    const { id, input, limits } = job;
    const { original } = this.#for(limits.outputBytes + MESSAGE_SLACK_BYTES);
    return (await original.requestJobExecution({ id, input }, { signal, timeoutMs: limits.timeoutMs })).output;
  }

  /** Resolves when something at the address speaks HTTP/2; for plugins that serve nothing that could be asked. */
  async reach(): Promise<void> {
    await this.#session.connect();
  }

  close(): void {
    this.#session.close();
  }

  #for(readMaxBytes: number): Clients {
    const limit = Math.min(2 ** Math.ceil(Math.log2(readMaxBytes)), MAX_MESSAGE_BYTES);
    let clients = this.#clients.get(limit);
    if (clients === undefined) {
      const transport = createGrpcTransport({
        baseUrl: this.#session.authority,
        sessionManager: this.#session,
        acceptCompression: [],
        readMaxBytes: limit,
        interceptors: [(next) => (request) => {
          for (const [name, value] of Object.entries(this.#headers)) request.header.set(name, value);
          return next(request);
        }],
      });
      clients = {
        plugin: createClient(PluginService, transport),
        original: createClient(OriginalPlugin, transport),
        health: createClient(Health, transport),
      };
      this.#clients.set(limit, clients);
    }
    return clients;
  }
}

/** What went wrong with a call. */
export function explainWire(reason: unknown): WireFailure {
  const error = ConnectError.from(reason);
  const detail = error.findDetails(ErrorDetailSchema)[0];
  const message = error.rawMessage;
  const retryAfterMs = Number(detail?.retryAfterMs ?? 0n) || undefined;
  const status = isSentByPlugin(error) ? GRPC_STATUSES[error.code - 1] : undefined;
  return { kind: kindOf(error), message, code: detail?.code, status, retryAfterMs };
}

/** Whether the error is the status of the peer. Connect marks what it read from there; the field is not in its types. */
function isSentByPlugin(error: ConnectError): boolean {
  return (error as { isWireError?: boolean }).isWireError === true;
}

function kindOf(error: ConnectError): WireFailure["kind"] {
  if (isSentByPlugin(error)) {
    if (error.code === Code.DeadlineExceeded) return "deadline";
    return error.code === Code.Unimplemented ? "unserved" : "plugin";
  }
  // What gRPC makes of HTTP 404, which servers answer that route by path.
  if (error.code === Code.Unimplemented && error.rawMessage === "HTTP 404") return "unserved";
  if (error.code === Code.DeadlineExceeded) return "deadline";
  if (error.code === Code.ResourceExhausted) return "too_large";
  const cause = error.cause;
  const systemCode = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const broke = systemCode !== "" && !systemCode.startsWith("ERR_HTTP2_ERROR");
  return broke || error.code === Code.Unavailable || error.code === Code.Aborted || error.code === Code.Canceled
    ? "connection"
    : "protocol";
}

/** The frame of the message that opens an execution. */
function startFrame({ id, function: name, contentType, limits }: ExternalExecution): Uint8Array {
  const request = create(ExecuteRequestSchema, {
    message: {
      case: "start",
      value: {
        executionId: id,
        function: name,
        contentType,
        limits: create(TaskLimitsSchema, {
          timeoutMs: BigInt(limits.timeoutMs),
          memoryBytes: BigInt(limits.memoryBytes),
          outputBytes: BigInt(limits.outputBytes),
        }),
      },
    },
  });
  const message = toBinary(ExecuteRequestSchema, request);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

/** The frame of a piece of the input, in parts, so that large pieces are not copied: ExecuteRequest { bytes chunk = 2; }. */
function chunkFrame(piece: Uint8Array): readonly Uint8Array[] {
  if (piece.length === 0) return [];
  const head = [REQUEST_CHUNK_TAG];
  let length = piece.length;
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length % 128) | 0x80);
  head.push(length);
  const start = Buffer.alloc(FRAME_HEADER_BYTES + head.length);
  start.writeUInt32BE(head.length + piece.length, 1);
  start.set(head, FRAME_HEADER_BYTES);
  return [start, piece];
}

async function* framesOf(start: Uint8Array, input: ExternalInput): AsyncGenerator<readonly Uint8Array[]> {
  yield [start];
  for await (const piece of input) yield chunkFrame(piece);
}

/** Reads an ExecuteResponse. One that is a piece of the output and nothing else needs no reader of protobuf. */
function readMessage(bytes: Uint8Array): ExternalMessage | undefined {
  if (bytes[0] === RESPONSE_CHUNK_TAG) {
    const start = chunkStart(bytes);
    if (start !== undefined) return { type: "chunk", bytes: bytes.subarray(start) };
  }
  if (bytes.length === 2 && bytes[0] === RESPONSE_RESULT_TAG && bytes[1] === 0) return PLAIN_RESULT;
  try {
    return messageOf(fromBinary(ExecuteResponseSchema, bytes));
  } catch (error) {
    throw new ConnectError(`parse binary: ${(error as Error).message}`, Code.Internal);
  }
}

/** Where the bytes of a message's only field begin; undefined when there is more in it. */
function chunkStart(bytes: Uint8Array): number | undefined {
  let length = 0;
  let scale = 1;
  for (let at = 1; at < bytes.length && at < 7; at++) {
    length += (bytes[at]! & 0x7f) * scale;
    if (bytes[at]! < 0x80) return at + 1 + length === bytes.length ? at + 1 : undefined;
    scale *= 128;
  }
  return undefined;
}

/** Undefined for a kind of message that this version does not know. */
function messageOf({ message }: ExecuteResponse): ExternalMessage | undefined {
  switch (message.case) {
    case "chunk":
      return { type: "chunk", bytes: message.value };
    case "log": {
      const { level, message: text, at } = message.value;
      return { type: "log", level: LEVELS[level] ?? "info", message: text, at: at === undefined ? 0 : timestampMs(at) };
    }
    case "progress": {
      const { fraction, message: text, at } = message.value;
      return { type: "progress", fraction, message: text, at: at === undefined ? 0 : timestampMs(at) };
    }
    case "result":
      return {
        type: "result",
        contentType: message.value.contentType,
        gpuMicros: Number(message.value.gpuMicros),
      };
    default:
      return undefined;
  }
}
