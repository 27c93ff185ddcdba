import type { Worker } from "node:worker_threads";
import { type Log, NodeError, startWorker } from "../../core/mod.ts";
import { FastCall, type FastCallOptions } from "../fast-call.ts";
import { openingOf, plainTimeout } from "../fast-path.ts";
import { listenError } from "../listener.ts";
import type { UnaryRoute } from "../route.ts";
import { BatchWriter, decodeOpening, readBatch, RECORD } from "./batch.ts";
import type { Address, FromFront, FrontSetup, TlsKeys, ToFront } from "./protocol.ts";

/** How long a front may take to drain or to end, in milliseconds. */
const MOST_ORDER_MS = 5000;

export interface FrontLinkOptions extends FastCallOptions {
  readonly setup: FrontSetup;
  readonly routes: ReadonlyMap<string, UnaryRoute>;
  readonly log: Log;
  /** Told when the number of its connections changes. */
  readonly onConnections: () => void;
  /** Told once when the thread has ended without being asked to; its calls are over then. */
  readonly onCrash: (error: Error) => void;
}

/** One front as the main thread has it: the thread, and the calls that it brought. */
export class FrontLink {
  readonly #thread: Worker;
  readonly #options: FrontLinkOptions;
  readonly #calls = new Map<number, FastCall>();
  readonly #out: BatchWriter;
  /** Who waits for the orders given so far, in their order. */
  readonly #waiting: { resolve(): void; reject(error: unknown): void; readonly address: Address | undefined }[] = [];
  #failure: Error | undefined;
  #ended = false;

  constructor(options: FrontLinkOptions) {
    this.#options = options;
    this.#thread = startWorker("src/rpc/fronts/front.ts", {
      workerData: options.setup,
      env: {},
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    this.#out = new BatchWriter({
      send: (batch) => this.#thread.postMessage(batch, [batch.buffer as ArrayBuffer]),
    });
    this.#thread.on("message", (message: Uint8Array | FromFront) => {
      if (message instanceof Uint8Array) this.#read(message);
      else this.#hear(message);
    });
    this.#thread.on("error", (error: Error) => this.#failure = error);
    this.#thread.on("exit", (code) => this.#end(this.#failure ?? new Error(`The thread ended with code ${code}`)));
  }

  /** Opens a port. Throws as {@link Listener.listen} does, or `internal` when the thread ends meanwhile. */
  listen(address: Address): Promise<void> {
    return this.#order({ type: "listen", address }, address);
  }

  setTls(tls: TlsKeys): void {
    this.#tell({ type: "tls", tls });
  }

  /** As {@link Listener.drain}. Resolves when no call can come any more, or after some seconds; never rejects. */
  async drain(): Promise<void> {
    await this.#orderBriefly({ type: "drain" });
  }

  /** As {@link Listener.destroy}, and ends the thread. Never rejects. */
  async close(): Promise<void> {
    if (this.#ended) return;
    await this.#orderBriefly({ type: "destroy" });
    this.#ended = true;
    await this.#thread.terminate();
    this.#abandonCalls();
  }

  #order(order: ToFront, address?: Address): Promise<void> {
    if (this.#ended) return Promise.reject(gone());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, address });
      this.#tell(order);
    });
  }

  /** A thread that hangs does not keep the node from ending. */
  async #orderBriefly(order: ToFront): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, MOST_ORDER_MS));
    await Promise.race([this.#order(order).catch(ignore), over]);
    clearTimeout(timer);
  }

  #tell(order: ToFront): void {
    this.#thread.postMessage(order);
  }

  #hear(message: FromFront): void {
    switch (message.type) {
      case "done":
        this.#waiting.shift()?.resolve();
        return;
      case "refused": {
        const order = this.#waiting.shift();
        order?.reject(listenError(order.address!, Object.assign(new Error(message.message), { code: message.code })));
        return;
      }
      case "connections":
        this.#options.onConnections();
        return;
      case "warning":
        this.#options.log.warn(message.message, message.fields);
    }
  }

  #read(batch: Uint8Array): void {
    readBatch(batch, ({ kind, id, head, body }) => {
      const call = kind === RECORD.call || kind === RECORD.open ? this.#open(id, head) : this.#calls.get(id);
      if (call === undefined) return;
      if (body.length > 0) call.read(body);
      if (kind === RECORD.call || kind === RECORD.end) call.run();
      if (kind !== RECORD.gone) return;
      this.#calls.delete(id);
      call.closed();
    });
  }

  #open(id: number, head: string): FastCall {
    const { address, headers } = decodeOpening(head);
    // The front hands over what has a route and a good timeout.
    const route = this.#options.routes.get(headers[":path"] as string)!;
    const opening = openingOf(headers, plainTimeout(headers)!, () => address);
    const call = new FastCall({
      answer: (frame, metadata) => {
        this.#calls.delete(id);
        const parts = frame instanceof Uint8Array ? [frame] : frame;
        this.#out.add(RECORD.answer, id, { head: metadata === undefined ? "" : JSON.stringify(metadata), parts });
      },
      refuse: (trailers) => {
        this.#calls.delete(id);
        this.#out.add(RECORD.refusal, id, { head: JSON.stringify(trailers) });
      },
    }, { route, opening, options: this.#options });
    if (!call.answered) this.#calls.set(id, call);
    return call;
  }

  #end(error: Error): void {
    const wasAsked = this.#ended;
    this.#ended = true;
    this.#abandonCalls();
    for (const { reject } of this.#waiting.splice(0)) reject(gone(error));
    if (!wasAsked) this.#options.onCrash(error);
  }

  #abandonCalls(): void {
    for (const call of this.#calls.values()) call.closed();
    this.#calls.clear();
  }
}

function gone(cause?: Error): NodeError {
  return new NodeError("internal", "A front of the RPC ports has ended", cause === undefined ? {} : { cause });
}

function ignore(): void {}
