/** Nodes over fake tasks, for tests of the client. */
import type { TestScope } from "../testing.ts";
import { noMetrics, silentLog, systemClock, type TaskEvent } from "../../src/core/mod.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import type { RpcServer } from "../../src/rpc/server.ts";
import { openPeers } from "./client-harness.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { FRONTS } from "./harness.ts";

export const COMMON = {
  health: new HealthState(),
  log: silentLog,
  metrics: noMetrics,
  clock: systemClock,
  limits: DEFAULT_RPC_LIMITS,
  frontThreads: FRONTS,
};

export async function listen(t: TestScope, server: RpcServer): Promise<string> {
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  return `127.0.0.1:${port}`;
}

/** A node over fake tasks, and the way to it. */
export async function node(t: TestScope, limits: Parameters<typeof openPeers>[0] = {}) {
  const tasks = new FakeTasks();
  const target = await listen(t, createRpcServer({ ...COMMON, tasks, node: fakeNode }));
  const peers = openPeers(limits);
  t.after(() => peers.close());
  return { tasks, target, peers, remote: peers.dial(target) };
}

export async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}
