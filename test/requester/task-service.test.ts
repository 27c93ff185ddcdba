import {
  type CallContext,
  noMetrics,
  type RequesterId,
  silentLog,
  systemClock,
  type TaskService,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskProvider } from "../../src/provider/mod.ts";
import { createTaskRequester, type TaskRequester } from "../../src/requester/mod.ts";
import { openMemoryStore, type Store } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { type Connection, taskServiceContract } from "../contract-suites/task-service.ts";

/** A node for each requester, since a node is one requester. */
function nodes(make: (self: RequesterId, store: Store) => TaskRequester, target: string): Connection {
  const services = new Map<RequesterId, { requester: TaskRequester; store: Store }>();
  const at = ({ requester }: CallContext): TaskService => {
    let node = services.get(requester);
    if (node === undefined) {
      const store = openMemoryStore();
      node = { requester: make(requester, store), store };
      services.set(requester, node);
    }
    return node.requester.at(target);
  };
  // The node knows who it is; what its callers say of themselves does not count.
  const stranger = (ctx: CallContext): CallContext => ({ ...ctx, requester: "anonymous" });
  return {
    service: {
      run: (spec, ctx) => at(ctx).run(spec, stranger(ctx)),
      runStream: (spec, input, ctx) => at(ctx).runStream(spec, input, stranger(ctx)),
      submit: (spec, ctx) => at(ctx).submit(spec, stranger(ctx)),
      get: (id, ctx) => at(ctx).get(id, stranger(ctx)),
      output: (id, ctx) => at(ctx).output(id, stranger(ctx)),
      list: (query, ctx) => at(ctx).list(query, stranger(ctx)),
      watch: (id, ctx) => at(ctx).watch(id, stranger(ctx)),
      cancel: (id, ctx) => at(ctx).cancel(id, stranger(ctx)),
    },
    async close() {
      for (const { requester, store } of services.values()) {
        await requester.close();
        await store.close();
      }
    },
  };
}

const shared = { ledger: freeLedger, clock: systemClock, log: silentLog };

taskServiceContract("the requester, its own provider", (local) => {
  const dial = () => local;
  return Promise.resolve(
    nodes((self, store) => createTaskRequester({ ...shared, self, local, dial, store: store.requests }), ""),
  );
});

taskServiceContract("the requester, a provider elsewhere", (remote) => {
  const idleStore = openMemoryStore();
  const idle = createTaskProvider({
    ...shared,
    store: idleStore.tasks,
    host: new FakeHost(),
    metrics: noMetrics,
    sweepIntervalMs: 0,
  });
  const connection = nodes(
    (self, store) => createTaskRequester({ ...shared, self, local: idle, dial: () => remote, store: store.requests }),
    "dns:///Provider:8081",
  );
  return Promise.resolve({
    service: connection.service,
    async close() {
      await connection.close();
      await idle.close();
      await idleStore.close();
    },
  });
});
