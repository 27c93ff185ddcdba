import { Agent as HttpAgent, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";

/** Why a batch was not taken. */
export interface PostFailure {
  readonly reason: string;
  /** Whether it would not be taken another time either. */
  readonly final: boolean;
}

const TIMEOUT_MS = 10_000;
/** Shorter than any server waits for the next request, so that none is sent into a connection that is just being closed. */
const IDLE_MS = 1000;
/** The specification names these as worth a retry. */
const WORTH_RETRY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export interface OtlpEndpointOptions {
  /** How long a batch may take, in milliseconds; 10 s by default. */
  readonly timeoutMs?: number;
}

/** Where a collector takes OTLP over HTTP. Batches that follow each other share a connection. Redirects are not followed. */
export class OtlpEndpoint {
  readonly #url: string;
  readonly #timeoutMs: number;
  readonly #open: typeof requestHttp;
  readonly #agent: HttpAgent;

  /** `url` is such as `http://127.0.0.1:4318`; `/v1/traces` is added. */
  constructor(url: string, { timeoutMs = TIMEOUT_MS }: OtlpEndpointOptions = {}) {
    this.#url = `${url.replace(/\/$/, "")}/v1/traces`;
    this.#timeoutMs = timeoutMs;
    const isTls = url.startsWith("https:");
    this.#open = isTls ? requestHttps : requestHttp;
    this.#agent = new (isTls ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: 1, timeout: IDLE_MS });
  }

  /** Posts a batch; resolves with undefined when it was taken. Never rejects. */
  post(body: Uint8Array): Promise<PostFailure | undefined> {
    return new Promise((resolve) => {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      const fail = (error: NodeJS.ErrnoException) => {
        const reason = signal.aborted ? `no answer within ${this.#timeoutMs} ms` : error.code ?? error.name;
        resolve({ reason, final: false });
      };
      try {
        const headers = { "content-type": "application/x-protobuf", "content-length": String(body.length) };
        const outgoing = this.#open(this.#url, { method: "POST", headers, agent: this.#agent, signal });
        outgoing.on("error", fail);
        outgoing.on("response", (answer) => {
          const { statusCode: status = 0 } = answer;
          const failure = status >= 200 && status < 300 ? undefined : {
            reason: `the collector answered ${status}`,
            final: status >= 400 && !WORTH_RETRY.has(status),
          };
          // What it says is nothing to us, but the connection is free only after it.
          answer.on("close", () => resolve(failure)).on("error", () => {}).resume();
        });
        outgoing.end(body);
      } catch (error) {
        fail(error as Error); // no URL
      }
    });
  }

  /** Ends connections that are left. */
  close(): void {
    this.#agent.destroy();
  }
}
