import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { unreadGate } from "../../src/rpc/unread-gate.ts";

const LIMIT = 1 << 20;

/** Streams of one session whose socket sends what the test says. */
class FakeSession {
  readonly socket = { bytesWritten: 1000, writableLength: 0 };

  stream(): ServerHttp2Stream & { destroyed: boolean } {
    return Object.assign(new EventEmitter(), { session: this, destroyed: false }) as unknown as ServerHttp2Stream;
  }
}

test("a gate closes when a session has more unread than the limit, and opens when it was sent", async () => {
  const session = new FakeSession();
  const gate = unreadGate(session.stream(), LIMIT, true)!;
  gate.wrote(LIMIT);
  assert.equal(gate.open, true);
  gate.wrote(1);
  assert.equal(gate.open, false);
  const opened = gate.opened(60_000);
  session.socket.bytesWritten += 1;
  assert.equal(await opened, true);
  assert.equal(gate.open, true);
});

test("what waits in the socket's own queue counts as unread", () => {
  const session = new FakeSession();
  const gate = unreadGate(session.stream(), LIMIT, true)!;
  gate.wrote(LIMIT + 1);
  session.socket.bytesWritten += LIMIT + 1;
  session.socket.writableLength = LIMIT + 1;
  assert.equal(gate.open, false);
  session.socket.writableLength = 0;
  assert.equal(gate.open, true);
});

test("streams of one session share the account, but each may have a little", () => {
  const session = new FakeSession();
  const [first, second] = [unreadGate(session.stream(), LIMIT, true)!, unreadGate(session.stream(), LIMIT, true)!];
  first.wrote(2 * LIMIT);
  second.wrote(1000);
  assert.equal(first.open, false);
  assert.equal(second.open, true);
  second.wrote(LIMIT);
  assert.equal(second.open, false);
});

test("what a broken stream had unread is forgotten", () => {
  const session = new FakeSession();
  const stream = session.stream();
  const broken = unreadGate(stream, LIMIT, true)!;
  broken.wrote(5 * LIMIT);
  stream.destroyed = true;
  broken.close();
  const next = unreadGate(session.stream(), LIMIT, true)!;
  next.wrote(LIMIT);
  assert.equal(next.open, true);
});

test("waiting ends when the client is gone or nothing moves", async () => {
  const session = new FakeSession();
  const stream = session.stream();
  const gate = unreadGate(stream, LIMIT, true)!;
  gate.wrote(LIMIT + 1);
  assert.equal(await gate.opened(30), false);
  const opened = gate.opened(60_000);
  stream.destroyed = true;
  assert.equal(await opened, false);
});

test("there is no gate where the runtime has backpressure, nor over HTTP/1.1", () => {
  assert.equal(unreadGate(new FakeSession().stream(), LIMIT, false), undefined);
  assert.equal(unreadGate(undefined, LIMIT, true), undefined);
});
