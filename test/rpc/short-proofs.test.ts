import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type Clock,
  isUnknownSession,
  macKeysOf,
  MAX_SKEW_MS,
  newSecretKey,
  NodeError,
  nodeKeyOf,
  noMetrics,
  openSession,
  silentLog,
  systemClock,
} from "../../src/core/mod.ts";
import { Authenticator, SESSION_HEADER, SIGNATURE_HEADER, type UnreadRequest } from "../../src/rpc/authenticator.ts";
import { OutgoingSession } from "../../src/rpc/client/outgoing-session.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { AllowList, createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { NumberMemory, NUMBERS_PER_ENTRY } from "../../src/rpc/number-memory.ts";
import { caller, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { test, type TestScope } from "../testing.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { FRONTS } from "./harness.ts";

const NOW = 1_800_000_000_000;
const PATH = "/a";
const POST = { method: "POST", path: PATH };
const key = nodeKeyOf(newSecretKey());
const provider = nodeKeyOf(newSecretKey());
const macKeys = macKeysOf(provider);
const refused = { code: "unauthenticated" };

function make() {
  const clock: Clock & { time: number } = { time: NOW, now: () => clock.time };
  const options = { self: provider.nodeId, chainId: 0, clock };
  return { clock, options, authenticator: new Authenticator({ ...options, macKeys }) };
}

function outgoing(clock: Clock, expiresAt = NOW + 3_600_000) {
  const opened = openSession(key, { provider: provider.nodeId, chainId: 0, expiresAt });
  return new OutgoingSession(opened, { macKey: macKeys.publicKey, macVersion: 2, clock });
}

const body = Buffer.from("hello");
const requestOf = (session: OutgoingSession, brief: boolean): UnreadRequest => ({
  ...POST,
  headers: session.sign(POST, body, { brief }),
});

test("a short proof is good with its certificate, and without it once that was seen", () => {
  const { authenticator, clock } = make();
  const session = outgoing(clock);
  assert.throws(
    () => authenticator.identify(requestOf(session, true)),
    (error: unknown) => error instanceof NodeError && isUnknownSession(error),
  );
  const signedBy = {
    requester: key.nodeId,
    bodySha256: createHash("sha256").update(body).digest("hex"),
  };
  const first = requestOf(session, false);
  assert.deepEqual(Object.keys(first.headers), [SESSION_HEADER, SIGNATURE_HEADER]);
  assert.deepEqual(authenticator.identify(first), signedBy);
  const second = requestOf(session, true);
  assert.deepEqual(Object.keys(second.headers), [SIGNATURE_HEADER]);
  assert.deepEqual(authenticator.identify({ ...second, headers: new Headers(second.headers as never) }), signedBy);
  for (const again of [first, second]) assert.throws(() => authenticator.identify(again), refused, "a replay");
  assert.throws(() => authenticator.identify({ ...requestOf(session, true), path: "/b" }), refused);
});

test("a certificate alone makes no proof good: not another's, not another session's, not one for another node", () => {
  const { authenticator, clock, options } = make();
  const [mine, other] = [outgoing(clock), outgoing(clock)];
  const [one, two] = [requestOf(mine, false), requestOf(other, false)];
  const swapped = {
    ...POST,
    headers: { ...one.headers, [SESSION_HEADER]: (two.headers as Record<string, string>)[SESSION_HEADER]! },
  };
  assert.throws(() => authenticator.identify(swapped), { ...refused, message: /names another session/ });
  const opened = openSession(key, { provider: key.nodeId, chainId: 0, expiresAt: NOW + 1 });
  const elsewhere = new OutgoingSession(opened, { macKey: macKeys.publicKey, macVersion: 2, clock });
  assert.throws(() => authenticator.identify(requestOf(elsewhere, false)), {
    ...refused,
    message: /its session is with/,
  });
  assert.throws(() => new Authenticator(options).identify(one), { ...refused, message: /signatures only/ });
  const otherKeys = macKeysOf(nodeKeyOf(newSecretKey()));
  assert.throws(() => new Authenticator({ ...options, macKeys: otherKeys }).identify(one), refused);
  // Of a version to come: its first byte is another.
  const proof = Buffer.from((one.headers as Record<string, string>)[SIGNATURE_HEADER]!, "base64url");
  proof[0] = 3;
  const headers = { ...one.headers, [SIGNATURE_HEADER]: proof.toString("base64url") };
  assert.throws(() => authenticator.identify({ ...POST, headers }), { ...refused, message: /of another version/ });
  assert.equal(authenticator.identify(one)?.requester, key.nodeId);
});

test("a short proof is refused a millisecond beyond the skew, and when its session is over, though the node knows it", () => {
  for (const [apart, good] of [[MAX_SKEW_MS, true], [MAX_SKEW_MS + 1, false]] as const) {
    for (const sign of [1, -1]) {
      const { authenticator, clock } = make();
      const session = outgoing(clock);
      authenticator.identify(requestOf(session, false));
      const request = requestOf(session, true);
      clock.time += sign * apart;
      if (good) authenticator.identify(request);
      else assert.throws(() => authenticator.identify(request), refused);
    }
  }
  const { authenticator, clock } = make();
  const session = outgoing(clock, NOW + 1000);
  authenticator.identify(requestOf(session, false));
  clock.time += 1000;
  assert.throws(() => authenticator.identify(requestOf(session, true)), { ...refused, message: /session is over/ });
});

test("requests of a session count once each, in whatever order they come", () => {
  const { authenticator, clock } = make();
  const session = outgoing(clock);
  const requests = Array.from({ length: 200 }, (_, place) => requestOf(session, place > 0));
  authenticator.identify(requests[0]!);
  for (const request of requests.slice(1).reverse()) authenticator.identify(request);
  for (const request of requests) assert.throws(() => authenticator.identify(request), refused);
});

test("a number is remembered as long as it must be, forgotten later, and the memory is bounded", () => {
  const sessionEntries = 11;
  const numbers = new NumberMemory({ keepMs: 100, maxEntries: 2 * sessionEntries + 1 });
  const far = 2 ** 48 - 1;
  assert.ok(numbers.add("a", far, 0));
  assert.ok(!numbers.add("a", far, 99));
  assert.ok(numbers.add("b", 0, 99));
  assert.ok(!numbers.add("a", far, 150), "from the generation before");
  assert.ok(!numbers.add("b", 0, 199));
  assert.throws(() => numbers.add("c", 0, 199), { code: "overloaded" });
  assert.ok(numbers.add("c", 0, 400), "all of before is forgotten");
  for (let one = 1; one < NUMBERS_PER_ENTRY; one++) assert.ok(numbers.add("c", one, 400));
  for (let one = 0; one < NUMBERS_PER_ENTRY; one++) assert.ok(!numbers.add("c", one, 400));
});

interface Server {
  readonly target: string;
  readonly tasks: FakeTasks;
  /** Of each signed request: whether it had the certificate, whether it named its requester beside it, and how long its proof was. */
  readonly seen: { readonly introduced: boolean; readonly named: boolean; readonly chars: number }[];
  close(): Promise<void>;
}

function headerOf({ headers }: UnreadRequest, name: string): string | undefined {
  return headers instanceof Headers ? headers.get(name) ?? undefined : headers[name] as string | undefined;
}

/** A node that serves one other, by its signatures; of the first version of MACs only when asked. */
async function serve({ macVersion = 2, port = 0 } = {}): Promise<Server> {
  const tasks = new FakeTasks();
  const seen: Server["seen"] = [];
  const authenticator = new Authenticator({ self: provider.nodeId, chainId: 0, clock: systemClock, macKeys });
  const server = createRpcServer({
    tasks,
    node: {
      describe: () => ({
        ...fakeNode.describe(),
        nodeId: provider.nodeId,
        macKey: macKeys.publicKey,
        ...(macVersion > 1 && { macVersion }),
      }),
      sign: (message) => provider.sign(message),
    },
    health: new HealthState(true),
    log: silentLog,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
    frontThreads: FRONTS,
    authenticator: {
      identify: (request) => {
        const chars = headerOf(request, SIGNATURE_HEADER)?.length;
        const [introduced, named] = [SESSION_HEADER, "velas-requester"].map((name) =>
          headerOf(request, name) !== undefined
        );
        if (chars !== undefined) seen.push({ introduced: introduced!, named: named!, chars });
        return authenticator.identify(request);
      },
    },
    allow: new AllowList([key.nodeId.toLowerCase() as `0x${string}`]),
  });
  const bound = await server.listen({ host: "127.0.0.1", port });
  return { target: `127.0.0.1:${bound.port}`, tasks, seen, close: () => server.close({ graceMs: 0 }) };
}

function dial(t: TestScope, target: string) {
  const peers = createPeers({ requester: key.nodeId, key, signTasks: true });
  t.after(() => peers.close());
  return peers.dial(target);
}

const ctx = () => caller(key.nodeId);

test("a node leaves the certificate out once a provider has taken it, and sends it with streams", async (t) => {
  const server = await serve();
  t.after(() => server.close());
  const remote = dial(t, server.target);
  for (let i = 0; i < 3; i++) await remote.run(spec(), ctx());
  await remote.submit(spec({ id: "t1" }), ctx());
  await readAll(remote.watch("t1", ctx()));
  assert.deepEqual(server.seen.map(({ introduced, chars }) => [introduced, chars]), [
    [true, 100],
    [false, 100],
    [false, 100],
    [false, 100],
    [true, 100],
  ]);
  assert.ok(server.seen.every(({ named }) => !named), "the session says whose it is");
  assert.deepEqual(server.tasks.contexts.map(({ requester }) => requester), Array(5).fill(key.nodeId));
});

test("no call fails when a provider was started again and knows no session any more", async (t) => {
  const first = await serve();
  t.after(() => first.close());
  const remote = dial(t, first.target);
  await remote.run(spec(), ctx());
  await first.close();
  const second = await serve({ port: Number(first.target.split(":")[1]) });
  t.after(() => second.close());
  await Promise.all(Array.from({ length: 8 }, () => remote.run(spec(), ctx())));
  assert.equal(second.tasks.contexts.length, 8, "each ran once");
  await remote.run(spec(), ctx());
  assert.equal(second.seen.at(-1)!.introduced, false, "it is known again");
});

test("a provider that takes the first version of MACs gets that", async (t) => {
  const server = await serve({ macVersion: 1 });
  t.after(() => server.close());
  const remote = dial(t, server.target);
  for (let i = 0; i < 2; i++) await remote.run(spec(), ctx());
  assert.deepEqual(server.seen.map(({ introduced, chars }) => [introduced, chars]), [[true, 118], [true, 118]]);
});
