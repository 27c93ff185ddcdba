/** A node that asks, and a peer of it behind a wire that can break. */
import {
  type CallContext,
  NodeError,
  type RequesterId,
  silentLog,
  type TaskEvent,
  type TaskService,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester, type Ledger } from "../../src/requester/mod.ts";
import { openMemoryStore, type Store } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";

export const PEER = "peer:8081";
export const SELF = ALICE;

/** The way to a provider, which can break. */
class Wire {
  /** Nobody answers. */
  down = false;
  /** The call arrives and its answer does not. */
  deaf = false;
  readonly #service: TaskService;
  readonly calls: string[] = [];
  readonly requesters = new Set<RequesterId>();

  constructor(service: TaskService) {
    this.#service = service;
  }

  get service(): TaskService {
    const broken = new NodeError("target_unreachable", `${PEER} does not answer`);
    const isDown = () => this.down;
    const note = (name: string, args: readonly unknown[]) => {
      this.calls.push(name);
      this.requesters.add((args.at(-1) as CallContext).requester);
    };
    return new Proxy(this.#service, {
      get: (service, name: keyof TaskService) => {
        const method = (service[name] as (...args: unknown[]) => unknown).bind(service);
        if (name === "watch" || name === "runStream") {
          return async function* (...args: unknown[]) {
            note(name, args);
            if (isDown()) throw broken;
            yield* method(...args) as AsyncIterable<TaskEvent>;
          };
        }
        return async (...args: unknown[]) => {
          note(name, args);
          if (this.down) throw broken;
          const result = await method(...args);
          if (this.deaf) throw broken;
          return result;
        };
      },
    });
  }
}

/** A node, and a peer of it behind a wire. */
export function setUp(options: { store?: Store; ledger?: Ledger; retentionMs?: number; service?: TaskService } = {}) {
  const clock = new FakeClock();
  const store = options.store ?? openMemoryStore();
  const host = new FakeHost();
  const local = testProvider({ store: store.tasks, host, clock });
  const peerStore = openMemoryStore();
  const peerHost = new FakeHost();
  const peer = testProvider({ store: peerStore.tasks, host: peerHost, clock });
  const wire = new Wire(options.service ?? peer);
  const waits: number[] = [];
  const make = () =>
    createTaskRequester({
      self: SELF,
      local,
      dial: () => options.service ?? wire.service,
      store: store.requests,
      ledger: options.ledger ?? freeLedger,
      clock,
      log: silentLog,
      ...(options.retentionMs !== undefined && { retentionMs: options.retentionMs }),
      async wait(timeMs) {
        waits.push(timeMs);
        // The peer comes back while this node waits for the third time.
        if (waits.length === 3) wire.down = false;
        await Promise.resolve();
      },
    });
  const requester = make();
  return {
    clock,
    store,
    host,
    peer,
    peerHost,
    wire,
    waits,
    make,
    requester,
    own: requester.at(""),
    there: requester.at(PEER),
    async close() {
      await requester.close();
      await local.close();
      await peer.close();
    },
  };
}
