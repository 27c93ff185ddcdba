import { type OutgoingHttpHeaders, sensitiveHeaders } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  fromBinary,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, type Transport, type UnaryResponse } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { NodeError, type TargetAddress } from "../../core/mod.ts";
import { SIGNATURE_HEADER } from "../authenticator.ts";
import { FRAME_HEADER_BYTES } from "../grpc-frame.ts";
import { toHeaders } from "./answer-status.ts";
import { connectionFailure, failed, misbehaved } from "./failures.ts";
import { MOST_LARGE_BYTES } from "./session.ts";
import type { SessionPool } from "./session-pool.ts";
import type { PeerStream } from "./connection.ts";
import { FrameBody, MessageBody, type RequestBody, StreamBody } from "./request-body.ts";
import { callStreaming } from "./stream-call.ts";
import { callUnary, type UnaryAnswer } from "./unary-call.ts";

/** Metadata of a call as plain properties; the fast way to give it. */
export type Metadata = Readonly<Record<string, string>>;

export interface PeerTransportOptions {
  readonly pool: SessionPool;
  /** The largest message of an answer, in bytes. */
  readonly readMaxBytes: number;
  /** The largest message of a request, in bytes. */
  readonly writeMaxBytes: number;
  /** What the calls name as `user-agent`. */
  readonly userAgent: string;
  /** Compresses requests. Between nodes nothing is compressed: tasks are mostly small, and gzip costs most of the bandwidth. */
  readonly sendCompression?: Compression;
  /** What peers may compress answers with; none by default. */
  readonly acceptCompression?: readonly Compression[];
}

/** What a unary call on bytes may have. */
export interface BytesCallOptions {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly metadata: Metadata;
}

/** A Connect transport that can also call with messages that the caller serializes. */
export interface PeerTransport extends Transport {
  /** Calls a unary method by its path. Throws the ConnectErrors that unary() throws. */
  unaryBytes(path: string, message: Uint8Array, options: BytesCallOptions): Promise<Uint8Array>;
  /** The same with the message in its gRPC frame, which is sent as it is. */
  unaryFrame(path: string, frame: Uint8Array, options: BytesCallOptions): Promise<Uint8Array>;
  /**
   * Calls a method that takes a stream and answers with one message at its end, the response here. The request comes as gRPC frames, each in
   * parts that are written without a copy, and whose memory is given back then. It is sent once, and whoever makes the call ends it when the source
   * fails.
   */
  uploadFrames(
    path: string,
    frames: AsyncIterable<readonly Uint8Array[]>,
    options: BytesCallOptions,
  ): Promise<Uint8Array>;
}

/**
 * A Connect transport for gRPC to one peer. Unary calls go over a stream of `node:http2` with as little as possible between (see
 * `unary-call.ts`); streaming calls go through connect-node's gRPC transport. Both share the connections of the pool.
 *
 * Failures are ConnectErrors with the codes that gRPC gives to the cases; the cause of those that were not sent by the peer is a
 * NodeError.
 */
export function createPeerTransport(address: TargetAddress, options: PeerTransportOptions): PeerTransport {
  const { pool, readMaxBytes, writeMaxBytes, userAgent, sendCompression, acceptCompression = [] } = options;
  const origin = new URL(`${address.tls ? "https" : "http"}://${address.authority}`).origin;
  const base: OutgoingHttpHeaders = {
    ":method": "POST",
    "content-type": "application/grpc+proto",
    "te": "trailers",
    "user-agent": userAgent,
    // Ever another one: it would drive what stays the same out of HPACK's table.
    ...(sensitiveHeaders === undefined ? {} : { [sensitiveHeaders]: [SIGNATURE_HEADER] }),
    ...(acceptCompression.length > 0 ? { "grpc-accept-encoding": acceptCompression.map((c) => c.name).join(",") } : {}),
  };

  // Called where what it throws is a rejection.
  const callMessage = (path: string, message: Uint8Array, given: BytesCallOptions, compressed = false) => {
    if (message.length > writeMaxBytes) throw tooLarge(address.name, message.length, writeMaxBytes);
    const metadata = compressed ? { ...given.metadata, "grpc-encoding": sendCompression!.name } : given.metadata;
    return call(path, new MessageBody(message, compressed), { ...given, metadata });
  };

  const call = (path: string, body: RequestBody, given: BytesCallOptions) => {
    const { signal, timeoutMs, metadata } = given;
    const headers: OutgoingHttpHeaders = { ...base, ...metadata, ":path": path };
    if (timeoutMs !== undefined) headers["grpc-timeout"] = formatTimeout(timeoutMs);
    let session;
    try {
      session = pool.session(address);
    } catch (error) {
      throw failed(error as NodeError);
    }
    return callUnary({
      session,
      headers,
      body,
      signal,
      timeoutMs,
      deadlines: pool.deadlines,
      readMaxBytes,
    });
  };

  const messageOf = (answer: UnaryAnswer): Uint8Array | Promise<Uint8Array> => {
    const encoding = answer.header["grpc-encoding"];
    if (!answer.compressed && (encoding === undefined || encoding === "identity")) return answer.message;
    const compression = acceptCompression.find((one) => one.name === encoding);
    if (compression === undefined && encoding !== undefined && encoding !== "identity") {
      throw misbehaved(
        address.name,
        Code.Internal,
        `it is compressed with "${String(encoding)}", which was not offered`,
      );
    }
    if (!answer.compressed) return answer.message;
    if (compression === undefined) {
      throw misbehaved(address.name, Code.Internal, "it is compressed but names no encoding");
    }
    return compression.decompress(answer.message, readMaxBytes);
  };

  const streamingOf = (requestBytes: number) =>
    createGrpcTransport({
      baseUrl: origin,
      sessionManager: {
        authority: origin,
        request: (method, path, headers) =>
          new Promise((resolve) => {
            const stream = pool.session(address).request(
              { ...headers, ":method": method, ":path": path },
              requestBytes,
            );
            reportLoss(stream);
            resolve(stream);
          }),
        notifyResponseByteRead: (stream) => {
          (stream as PeerStream).connection.heard = true;
        },
      },
      readMaxBytes,
      writeMaxBytes,
      acceptCompression: [...acceptCompression],
      ...(sendCompression === undefined ? {} : { sendCompression }),
    });
  const streaming = streamingOf(0);
  // How much a stream will carry is not known.
  const uploading = streamingOf(MOST_LARGE_BYTES);

  return {
    async unaryBytes(path, message, given) {
      return await messageOf(await callMessage(path, message, given));
    },

    async unaryFrame(path, frame, given) {
      const sizeBytes = frame.length - FRAME_HEADER_BYTES;
      if (sizeBytes > writeMaxBytes) throw tooLarge(address.name, sizeBytes, writeMaxBytes);
      return await messageOf(await call(path, new FrameBody(frame), given));
    },

    async uploadFrames(path, frames, given) {
      return await messageOf(await call(path, new StreamBody(frames, MOST_LARGE_BYTES), given));
    },

    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: ConstructorParameters<typeof Headers>[0],
      input: MessageInitShape<I>,
    ): Promise<UnaryResponse<I, O>> {
      const request = isMessage(input, method.input) ? input : create(method.input, input);
      let bytes: Uint8Array = toBinary(method.input, request as MessageShape<I>);
      let compressed = false;
      if (sendCompression !== undefined) {
        bytes = await sendCompression.compress(bytes);
        compressed = true;
      }
      // As with Connect's transports, no time at all means no limit.
      const limit = timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : undefined;
      const given = { signal, timeoutMs: limit, metadata: toMetadata(header) };
      const answer = await callMessage(pathOf(method), bytes, given, compressed);
      const raw = messageOf(answer);
      return new Answer(
        method,
        decodeAnswer(method, raw instanceof Uint8Array ? raw : await raw, address.name),
        answer,
      );
    },

    stream: (method, signal, timeoutMs, header, input) => {
      const headers = new Headers(header);
      if (!headers.has("user-agent")) headers.set("user-agent", userAgent);
      const limit = timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : undefined;
      if (limit !== undefined) headers.set("grpc-timeout", formatTimeout(limit));
      const transport = method.methodKind === "server_streaming" ? streaming : uploading;
      return callStreaming(transport, { target: address.name, method, headers, input, signal, timeoutMs: limit });
    },
  };
}

/**
 * Tells Connect of a lost connection: to the stream that looks like a reset by the peer on Node and like an orderly end on Deno, where
 * Connect would wait for ever.
 */
function reportLoss(stream: PeerStream): void {
  let answered = false;
  // Connect listens a little later; a stream that is destroyed before that would end the process.
  stream.on("error", ignore);
  stream.once("trailers", () => answered = true);
  stream.once("close", () => {
    const { connection } = stream;
    if (answered || !connection.closed) return;
    stream.emit("error", connectionFailure(connection.failure(), !stream.pending));
  });
}

function ignore(): void {}

/** A response whose headers become web Headers only when somebody looks at them. */
class Answer<I extends DescMessage, O extends DescMessage> implements UnaryResponse<I, O> {
  readonly stream = false;
  readonly method: DescMethodUnary<I, O>;
  readonly message: MessageShape<O>;
  readonly #answer: UnaryAnswer;
  #header: Headers | undefined;
  #trailer: Headers | undefined;

  constructor(method: DescMethodUnary<I, O>, message: MessageShape<O>, answer: UnaryAnswer) {
    this.method = method;
    this.message = message;
    this.#answer = answer;
  }

  get service() {
    return this.method.parent;
  }

  get header(): Headers {
    return this.#header ??= toHeaders(this.#answer.header);
  }

  get trailer(): Headers {
    return this.#trailer ??= toHeaders(this.#answer.trailer);
  }
}

/** Reads the message of an answer. Throws a ConnectError whose cause says `target_misbehaved`. */
export function decodeAnswer<O extends DescMessage>(
  method: { readonly output: O },
  bytes: Uint8Array,
  target: string,
): MessageShape<O> {
  try {
    return fromBinary(method.output, bytes);
  } catch (cause) {
    throw misbehaved(target, Code.Internal, `the message is no ${method.output.typeName}`, cause);
  }
}

/** `/package.Service/Method`. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** A `grpc-timeout` value: at most eight digits and a unit, rounded up. */
export function formatTimeout(timeoutMs: number): string {
  const ms = Math.ceil(timeoutMs);
  if (ms < 100_000_000) return `${ms}m`;
  return `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`;
}

function toMetadata(init: ConstructorParameters<typeof Headers>[0]): Metadata {
  if (init === undefined) return {};
  if (Object.getPrototypeOf(init) === Object.prototype) return init as Metadata;
  const metadata: Record<string, string> = {};
  new Headers(init).forEach((value, name) => metadata[name] = value);
  return metadata;
}

function tooLarge(target: string, sizeBytes: number, limitBytes: number) {
  return failed(
    new NodeError(
      "input_too_large",
      `The request to ${target} has ${sizeBytes} bytes, over the limit of ${limitBytes} for one message`,
      {
        data: { target, sizeBytes, limitBytes },
      },
    ),
  );
}
