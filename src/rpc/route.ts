import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type CallContext, NodeError } from "../core/mod.ts";
import { FrameError, frameOf } from "./grpc-frame.ts";
import { validate } from "./validation.ts";

interface RouteBase {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The metric labels of its calls, made once. */
  readonly labels: { readonly method: string };
  /** What the spans of its calls are called: `package.Service/Method`. */
  readonly spanName: string;
}

/** A gRPC frame, whole or in parts, so that large bytes need not be copied behind what stands before them. */
export type Frame = Uint8Array | readonly Uint8Array[];

/** A unary method and the function behind it. */
export interface UnaryRoute extends RouteBase {
  readonly kind: "unary";
  readonly method: DescMethodUnary;
  /** Validates the request and answers it. */
  handle(request: MessageShape<DescMessage>, ctx: CallContext): Promise<MessageInitShape<DescMessage>>;
  /** The same from bytes to bytes: a serialized request in, a gRPC frame with the response out. May throw at once. */
  handleBytes(request: Uint8Array, ctx: CallContext): Promise<Frame>;
  /** Whether the function minds {@link CallContext.span}, so that it needs no scope of the span around it, which costs more than the span. */
  readonly mindsSpan: boolean;
}

/** A method that answers with a stream, and the function behind it. */
export interface StreamRoute extends RouteBase {
  readonly kind: "server_streaming" | "bidi_streaming";
  readonly method: DescMethodServerStreaming | DescMethodBiDiStreaming;
  /** Whether its calls are stopped as soon as the server drains, because they last as long as the caller likes. */
  readonly endsOnDrain: boolean;
  /** The field of its requests that holds large bytes, if one does. Without {@link direct} the answer is a single message after all of them. */
  readonly bytes?: BytesField;
  /** Serves it without Connect where the call is gRPC, with an answer that goes out as it comes. Both ways only. */
  readonly direct?: DirectAnswer;
  /** Validates each message and answers. Takes one message, or a stream of them, as the method's kind says. */
  handle(
    request: MessageShape<DescMessage> | AsyncIterable<MessageShape<DescMessage>>,
    ctx: CallContext,
  ): AsyncIterable<MessageInitShape<DescMessage>>;
}

/** How the messages of an answer become frames. */
export interface DirectAnswer {
  /** The frame of a message; undefined leaves it to the general way. */
  frame(message: MessageInitShape<DescMessage>): Frame | undefined;
}

/**
 * A field of type `bytes` that stands alone in its message. Such messages may be handed on in parts, each a message with a part of the bytes, before
 * they are there as a whole.
 */
export interface BytesField {
  readonly number: number;
  /** A message with these bytes in the field. */
  wrap(bytes: Uint8Array): MessageShape<DescMessage>;
}

/** A stream of requests that is served without Connect: its large bytes need not be whole messages, or its answer goes out as it comes. */
export type UploadRoute =
  & StreamRoute
  & ({ readonly bytes: BytesField } | { readonly bytes?: BytesField; readonly direct: DirectAnswer });

/** A method that the server answers, over all protocols. */
export type Route = UnaryRoute | StreamRoute;

function base(method: DescMethodUnary | DescMethodServerStreaming | DescMethodBiDiStreaming): RouteBase {
  const path = `/${method.parent.typeName}/${method.name}`;
  return { path, labels: { method: path }, spanName: path.slice(1) };
}

/** Reads a request. Bytes that are no such message throw a FrameError with the code and the words that Connect has for it. */
export function parseRequest<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new FrameError(Code.Internal, new NodeError("invalid_argument", `parse binary: ${message}`, { cause }));
  }
}

/** What a unary method can do that others cannot. */
export interface UnaryOptions {
  /** A faster way from bytes: answers, or returns undefined to leave this request to the general way. May throw at once. */
  tryBytes(request: Uint8Array, ctx: CallContext): Promise<Frame> | undefined;
  /** As in {@link UnaryRoute}. */
  readonly mindsSpan?: boolean;
}

/** Binds a unary method to its function. The function gets valid requests only. */
export function unary<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  fn: (request: MessageShape<I>, ctx: CallContext) => Promise<MessageInitShape<O>>,
  options?: UnaryOptions,
): UnaryRoute {
  const handle = async (request: MessageShape<I>, ctx: CallContext): Promise<MessageInitShape<O>> => {
    const pending = validate(method.input, request);
    if (pending !== undefined) await pending;
    return await fn(request, ctx);
  };
  const general = async (request: Uint8Array, ctx: CallContext): Promise<Uint8Array> => {
    const response = await handle(parseRequest(method.input, request), ctx);
    return frameOf(toBinary(method.output, create(method.output, response)));
  };
  return {
    ...base(method),
    kind: "unary",
    method,
    handle: handle as UnaryRoute["handle"],
    handleBytes: options === undefined
      ? general
      : (request, ctx) => options.tryBytes(request, ctx) ?? general(request, ctx),
    mindsSpan: options?.mindsSpan ?? false,
  };
}

/** Binds a server-streaming method to its function. */
export function serverStream<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  fn: (request: MessageShape<I>, ctx: CallContext) => AsyncIterable<MessageInitShape<O>>,
  options: { readonly endsOnDrain: boolean },
): StreamRoute {
  async function* handle(request: MessageShape<I>, ctx: CallContext): AsyncGenerator<MessageInitShape<O>> {
    const pending = validate(method.input, request);
    if (pending !== undefined) await pending;
    yield* fn(request, ctx);
  }
  return {
    ...base(method),
    kind: "server_streaming",
    method,
    endsOnDrain: options.endsOnDrain,
    handle: handle as StreamRoute["handle"],
  };
}

/** Binds a method with streams both ways to its function. */
export function bidiStream<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O>,
  fn: (requests: AsyncIterable<MessageShape<I>>, ctx: CallContext) => AsyncIterable<MessageInitShape<O>>,
  options: Pick<StreamRoute, "endsOnDrain" | "bytes" | "direct">,
): StreamRoute {
  async function* validated(requests: AsyncIterable<MessageShape<I>>): AsyncGenerator<MessageShape<I>> {
    for await (const request of requests) {
      const pending = validate(method.input, request);
      if (pending !== undefined) await pending;
      yield request;
    }
  }
  const handle = (requests: AsyncIterable<MessageShape<I>>, ctx: CallContext) => fn(validated(requests), ctx);
  return {
    ...base(method),
    kind: "bidi_streaming",
    method,
    endsOnDrain: options.endsOnDrain,
    ...(options.bytes !== undefined && { bytes: options.bytes }),
    ...(options.direct !== undefined && { direct: options.direct }),
    handle: handle as StreamRoute["handle"],
  };
}
