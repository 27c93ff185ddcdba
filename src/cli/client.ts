import { type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type ErrorData, NodeError, VERSION } from "../core/mod.ts";
import { isErrorCode } from "./exit-codes.ts";
import { createEventReader, type ServerEvent } from "./sse.ts";

export interface ClientOptions {
  /** The node's REST address, `http://127.0.0.1:3000`. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Ends every call that brings no signal of its own. */
  readonly signal?: AbortSignal;
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: Uint8Array | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** An answer with a body to read. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: IncomingMessage;
}

const MAX_JSON_BYTES = 256 << 20; // 256 MiB
const MAX_RECONNECTS = 10;

/**
 * The `/v1` API of one node. Every method throws a NodeError: what the node's problem says, `target_unreachable` when no node
 * answers, `target_misbehaved` when something else does, and `canceled` when the signal aborts.
 */
export class NodeClient {
  readonly url: string;
  readonly #base: URL;
  readonly #token: string | undefined;
  readonly #signal: AbortSignal | undefined;

  /** Throws `invalid_argument` when the URL is none. */
  constructor({ url, token, signal }: ClientOptions) {
    this.#base = parseUrl(url);
    this.url = this.#base.href.replace(/\/$/, "");
    this.#token = token;
    this.#signal = signal;
  }

  /** The JSON that the node answers. */
  async json<T>(method: Method, path: string, options: CallOptions = {}): Promise<T> {
    const answer = await this.open(method, path, {
      ...options,
      headers: { accept: "application/json", ...options.headers },
    });
    const text = await this.#text(answer.body);
    if (answer.status === 204) return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw this.#misbehaved(`answered ${method} ${path} with something that is not JSON`, cause);
    }
  }

  /** Opens a call; the caller reads the body. Throws unless the status is 2xx. */
  async open(method: Method, path: string, options: CallOptions = {}): Promise<Answer> {
    const response = await this.#send(method, path, options);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return { status, headers: response.headers, body: response };
    throw this.#problem(status, response, await this.#text(response));
  }

  /**
   * The events of a stream. When the connection breaks before the stream's last event, connects again where it left off, up to
   * ten times without an event between.
   */
  async *events(path: string, options: CallOptions = {}): AsyncGenerator<ServerEvent> {
    const reader = createEventReader();
    for (let failures = 0;;) {
      try {
        const lastSeen = reader.lastEventId;
        const answer = await this.open("GET", path, {
          ...options,
          headers: { accept: "text/event-stream", ...(lastSeen === "" ? {} : { "last-event-id": lastSeen }) },
        });
        if (answer.status === 204) return;
        for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
          for (const event of reader.push(piece)) {
            failures = 0;
            yield event;
          }
        }
      } catch (error) {
        const broken = !(error instanceof NodeError) || error.code === "target_unreachable" ||
          error.code === "shutting_down";
        if (!broken || reader.lastEventId === "" || failures >= MAX_RECONNECTS) throw this.#connectionError(error);
      }
      failures++;
      if (failures > MAX_RECONNECTS) throw this.#misbehaved("keeps breaking the stream of events off");
      try {
        const signal = options.signal ?? this.#signal;
        await delay(reader.retryMs ?? 1000, undefined, signal && { signal });
      } catch (error) {
        throw this.#connectionError(error);
      }
    }
  }

  async #send(method: Method, path: string, options: CallOptions): Promise<IncomingMessage> {
    const url = new URL(this.#base.href.replace(/\/$/, "") + path);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    const body = options.json === undefined ? options.body : Buffer.from(JSON.stringify(options.json));
    const signal = options.signal ?? this.#signal;
    const requestOptions: RequestOptions = {
      method,
      agent: false, // one connection a call: nothing is left open when the program is done
      headers: {
        "user-agent": `velas-sphere/${VERSION}`,
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(options.json === undefined ? {} : { "content-type": "application/json" }),
        ...(body instanceof Uint8Array ? { "content-length": String(body.length) } : {}),
        ...options.headers,
      },
      ...(signal === undefined ? {} : { signal }),
    };
    return await new Promise((resolve, reject) => {
      const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, requestOptions);
      request.on("response", resolve);
      request.on("error", (error) => reject(this.#connectionError(error)));
      if (body instanceof Readable) {
        // An answer may come, and the input be cut off, before all of it was sent: then the answer tells why.
        pipeline(body, request).catch((error) => request.destroy(error as Error));
      } else request.end(body);
    });
  }

  async #text(body: IncomingMessage): Promise<string> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        length += piece.length;
        if (length > MAX_JSON_BYTES) throw this.#misbehaved(`sent more than ${MAX_JSON_BYTES} bytes of JSON`);
        pieces.push(piece);
      }
    } catch (error) {
      throw this.#connectionError(error);
    }
    return Buffer.concat(pieces).toString("utf8");
  }

  /** What an answer that is no success says (RFC 9457). */
  #problem(status: number, response: IncomingMessage, text: string): NodeError {
    let problem: Record<string, unknown> = {};
    try {
      problem = JSON.parse(text) as Record<string, unknown>;
    } catch {
      // told below
    }
    const { code, detail, retryable, retryAfterMs, data } = problem ?? {};
    if (!isErrorCode(code) || typeof detail !== "string") {
      const kind = String(response.headers["content-type"] ?? "no content type");
      return this.#misbehaved(`answered ${status} (${kind}) and is no Velas Sphere node, or has a proxy before it`);
    }
    return new NodeError(code, detail, {
      ...(typeof retryable === "boolean" ? { retryable } : {}),
      ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
      ...(typeof data === "object" && data !== null ? { data: data as ErrorData } : {}),
    });
  }

  /** What a socket's error means. */
  #connectionError(error: unknown): NodeError {
    if (error instanceof NodeError) return error;
    const { name, code } = error as { name?: string; code?: string };
    if (name === "AbortError" || code === "ABORT_ERR") return new NodeError("canceled", "Canceled", { cause: error });
    const refused = code === "ECONNREFUSED" || code === "ENOENT";
    return new NodeError(
      "target_unreachable",
      refused
        ? `No node answers at ${this.url}: start one with "velas-sphere node", or name another with --url`
        : `The connection to ${this.url} failed (${
          code ?? name ?? "unknown"
        }): check the address and the network, then try again`,
      { cause: error, data: { url: this.url } },
    );
  }

  #misbehaved(what: string, cause?: unknown): NodeError {
    return new NodeError("target_misbehaved", `${this.url} ${what}: check --url`, { cause, data: { url: this.url } });
  }
}

function parseUrl(text: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new NodeError(
      "invalid_argument",
      `"${text}" is not the address of a node: it must be such as http://127.0.0.1:3000`,
    );
  }
  url.search = "";
  url.hash = "";
  return url;
}
