import { createHmac } from "node:crypto";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { type Clock, type Log, type Metrics, newUlid, NodeError, type OutboundRules } from "../core/mod.ts";
import type { AlertChange } from "./alert-board.ts";

export interface WebhookOptions {
  readonly url: string;
  /** Signs what is sent, when set. */
  readonly secret?: string | undefined;
  /** Who sends. */
  readonly node: { readonly id: string; readonly name: string };
  /** Where the URL may lead. */
  readonly outbound: OutboundRules;
  /** How long one attempt may take, in milliseconds. */
  readonly timeoutMs: number;
  /** The pause after the first attempt that failed; each further one is twice as long. 1 s by default. */
  readonly firstRetryMs?: number;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly metrics: Metrics;
}

const MAX_ATTEMPTS = 8;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 300_000;
const MAX_WAITING = 100;

/** What a receiver is sent, once or, when its answer was lost, again with the same id. */
interface Message {
  readonly id: string;
  readonly body: string;
}

/**
 * Sends changes of alerts to a URL, one after the other, as https://www.standardwebhooks.com describes: `webhook-id` is the same in
 * every attempt, `webhook-timestamp` is in seconds, and `webhook-signature` is `v1,` and the base64 of HMAC-SHA-256 over
 * `id.timestamp.body`. An attempt that fails is repeated up to 7 times, later each time; answers of 4xx but 408 and 429 are
 * final. Redirects are not followed.
 */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #url: URL;
  readonly #results;
  readonly #closing = new AbortController();
  readonly #waiting: Message[] = [];
  #sending: Promise<void> | undefined;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    this.#results = options.metrics.counter(
      "velas_alert_webhooks_total",
      "Messages to the webhook of alerts, by how they ended",
      ["result"],
    );
  }

  /** Takes a change to be sent. When too many wait, the oldest is dropped. */
  send({ type, alert }: AlertChange): void {
    const { node, clock, log } = this.#options;
    const now = clock.now();
    const body = JSON.stringify({
      type: `alert.${type}`,
      timestamp: new Date(now).toISOString(),
      data: { ...alert, since: new Date(alert.since).toISOString(), nodeId: node.id, nodeName: node.name },
    });
    if (this.#waiting.length >= MAX_WAITING) {
      this.#waiting.shift();
      this.#results.add(1, { result: "dropped" });
      log.warn("The webhook of alerts takes nothing; the oldest message is dropped", { host: this.#url.host });
    }
    this.#waiting.push({ id: `msg_${newUlid(now)}`, body });
    this.#sending ??= this.#run().finally(() => this.#sending = undefined);
  }

  /** Stops; what was not sent is not. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#sending;
  }

  async #run(): Promise<void> {
    for (let message; (message = this.#waiting.shift()) !== undefined && !this.#closing.signal.aborted;) {
      await this.#deliver(message);
    }
  }

  async #deliver(message: Message): Promise<void> {
    const { log, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    for (let attempt = 1; !this.#closing.signal.aborted; attempt++) {
      const failure = await this.#attempt(message);
      if (failure === undefined) {
        this.#results.add(1, { result: "sent" });
        return;
      }
      if (this.#closing.signal.aborted) return;
      if (failure.final || attempt === MAX_ATTEMPTS) {
        this.#results.add(1, { result: "failed" });
        // The path and query of such URLs are often secrets.
        log.warn("The webhook of alerts did not take a message", {
          host: this.#url.host,
          attempts: attempt,
          reason: failure.reason,
        });
        return;
      }
      await this.#pause(Math.min(firstRetryMs * 2 ** (attempt - 1), LONGEST_RETRY_MS) * (0.75 + Math.random() / 2));
    }
  }

  /** One POST; tells why it failed. */
  #attempt({ id, body }: Message): Promise<{ readonly reason: string; readonly final: boolean } | undefined> {
    const { secret, outbound, timeoutMs, clock } = this.#options;
    const timestamp = String(Math.floor(clock.now() / 1000));
    const headers: Record<string, string> = {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "user-agent": "velas-sphere",
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      ...(secret === undefined
        ? {}
        : { "webhook-signature": signatureOf({ secret, content: `${id}.${timestamp}.${body}` }) }),
    };
    return new Promise((resolve) => {
      const fail = (error: Error) => {
        const reason = error.name === "TimeoutError" ? `no answer within ${timeoutMs} ms` : error.message;
        resolve({ reason, final: error instanceof NodeError && error.code === "permission_denied" });
      };
      try {
        outbound.checkLiteral(this.#url);
        const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
        const open = this.#url.protocol === "https:" ? requestHttps : requestHttp;
        const outgoing = open(this.#url, { method: "POST", headers, agent: false, lookup: outbound.lookup, signal });
        outgoing.on("error", (error) => fail(signal.aborted ? signal.reason as Error : error));
        outgoing.on("response", (response) => {
          response.on("error", () => {});
          response.destroy(); // its body is nothing to us
          const { statusCode: status = 0 } = response;
          if (status >= 200 && status < 300) return resolve(undefined);
          const final = status >= 300 && status < 500 && status !== 408 && status !== 429;
          resolve({ reason: `it answered ${status}`, final });
        });
        outgoing.end(body);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#closing;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

/** The signature of a message. A secret as `whsec_…` is the base64 of its bytes, any other the text itself. */
export function signatureOf({ secret, content }: { readonly secret: string; readonly content: string }): string {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
}
