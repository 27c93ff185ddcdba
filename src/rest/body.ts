import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { NodeError } from "../core/mod.ts";
import type { RestLimits } from "./options.ts";
import { withStatus } from "./problem.ts";

/** A request as Node's HTTP server hands it over. Bodies are read from it directly: a Web stream would cost a copy a chunk. */
export interface NodeExchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

export type BodyLimits = Pick<RestLimits, "maxBodyBytes" | "requestTimeoutMs" | "idleTimeoutMs">;

const awaitingContinue = new WeakSet<IncomingMessage>();

/**
 * Marks a request whose client waits for `100 Continue` (RFC 9110 §10.1.1). It is sent when the body is first wanted, so
 * that a refused request does not upload anything.
 */
export function deferContinue(incoming: IncomingMessage): void {
  awaitingContinue.add(incoming);
}

/**
 * Reads a whole body. Throws `input_too_large` as soon as the limit is passed, before reading anything when the length is
 * declared; `deadline_exceeded` (408) when the body takes longer than `requestTimeoutMs` or pauses for `idleTimeoutMs`;
 * `canceled` when the client goes away.
 */
export function readBody({ incoming, outgoing }: NodeExchange, limits: BodyLimits): Promise<Buffer> {
  begin(incoming, outgoing, limits);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let progress = 0;
    let waited = 0;
    // One timer a body: it wakes often enough to see a pause and adds up the total.
    const step = Math.min(limits.idleTimeoutMs, limits.requestTimeoutMs);
    const timer = setInterval(() => {
      waited += step;
      if (progress === size) return fail(tooSlow(`no byte for ${limits.idleTimeoutMs} ms`));
      progress = size;
      if (waited >= limits.requestTimeoutMs) fail(tooSlow(`not complete after ${limits.requestTimeoutMs} ms`));
    }, step);

    function settle(): void {
      clearInterval(timer);
      incoming.off("data", onData).off("end", onEnd).off("error", onClose).off("close", onClose);
    }
    function fail(error: NodeError): void {
      settle();
      incoming.pause();
      reject(error);
    }
    function onData(chunk: Buffer): void {
      size += chunk.length;
      if (size > limits.maxBodyBytes) fail(tooLarge(limits));
      else chunks.push(chunk);
    }
    function onEnd(): void {
      settle();
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    }
    function onClose(): void {
      fail(clientGone());
    }
    incoming.on("data", onData).on("end", onEnd).on("error", onClose).on("close", onClose);
  });
}

/**
 * Reads a body piece by piece, as fast as the pieces are wanted; stopping early leaves the rest unread. Throws like
 * {@link readBody}, but lets a body take any time as long as it moves.
 */
export async function* bodyChunks(
  { incoming, outgoing }: NodeExchange,
  limits: BodyLimits,
): AsyncGenerator<Uint8Array> {
  begin(incoming, outgoing, limits);
  const source = incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let size = 0;
  try {
    for (;;) {
      const next = await orTimeout(source.next(), limits.idleTimeoutMs);
      if (next === TIMED_OUT) throw tooSlow(`no byte for ${limits.idleTimeoutMs} ms`);
      if (next.done === true) return;
      size += next.value.length;
      if (size > limits.maxBodyBytes) throw tooLarge(limits);
      yield next.value;
    }
  } catch (error) {
    if (error instanceof NodeError) throw error;
    // Only the socket can have failed.
    throw clientGone();
  } finally {
    // Not awaited: after a timeout the pending next() holds it up until the connection closes.
    source.return?.().catch(() => {});
  }
}

function begin(incoming: IncomingMessage, outgoing: ServerResponse, limits: BodyLimits): void {
  // Node's parser has refused what is no number.
  if (Number(incoming.headers["content-length"] ?? 0) > limits.maxBodyBytes) throw tooLarge(limits);
  if (awaitingContinue.delete(incoming)) outgoing.writeContinue();
}

const TIMED_OUT = Symbol("timed out");

async function orTimeout<T>(promise: Promise<T>, ms: number): Promise<T | typeof TIMED_OUT> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<typeof TIMED_OUT>((resolve) => {
    timer = setTimeout(resolve, ms, TIMED_OUT);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge({ maxBodyBytes }: BodyLimits): NodeError {
  return new NodeError(
    "input_too_large",
    `The request body is larger than ${maxBodyBytes} bytes; send less, or raise the node's limit`,
    { data: { limitBytes: maxBodyBytes } },
  );
}

function tooSlow(how: string): NodeError {
  return withStatus(
    new NodeError("deadline_exceeded", `The request body came too slowly: ${how}; send it again, faster`, {
      retryable: true,
    }),
    408,
  );
}

/** What a call ends with when its client closes the connection. */
export function clientGone(): NodeError {
  return new NodeError("canceled", "The client closed the connection before the answer");
}
