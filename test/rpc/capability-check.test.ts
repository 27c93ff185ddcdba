import assert from "node:assert/strict";
import { test } from "node:test";
import {
  attenuateCapability,
  type CallContext,
  type CapabilityTerms,
  newSecretKey,
  NodeError,
  nodeKeyOf,
  signCapability,
} from "../../src/core/mod.ts";
import { CapabilityCheck } from "../../src/rpc/capability-check.ts";

const owner = nodeKeyOf(newSecretKey());
const reader = nodeKeyOf(newSecretKey());
const friend = nodeKeyOf(newSecretKey());
const shard = "a".repeat(32);
const read = { shard, action: "read", bytes: 100 } as const;

const terms = (changes: Partial<CapabilityTerms> = {}): CapabilityTerms => ({
  audience: reader.nodeId,
  shards: [shard],
  actions: ["read"],
  expiresAt: 2000,
  maxBytes: 250,
  ...changes,
});

function by(key: typeof reader): CallContext {
  return { requester: key.nodeId, authenticated: true, signal: new AbortController().signal, requestId: "r" };
}

function make(time = 1000) {
  const clock = { time, now: () => clock.time };
  return { clock, check: new CapabilityCheck(clock) };
}

const denied = (error: unknown) => error instanceof NodeError && error.code === "permission_denied";

test("a call with a capability acts for its issuer, and only as far as it allows", () => {
  const { check, clock } = make();
  const text = signCapability(owner, terms());
  const acting = check.actFor(by(reader), text, read);
  assert.equal(acting.requester, owner.nodeId);
  assert.equal(acting.capabilityEndsAt, 2000);
  assert.throws(() => check.actFor(by(friend), text, read), denied, "somebody else");
  assert.throws(() => check.actFor(by(reader), text, { ...read, action: "audit" }), denied, "another action");
  assert.throws(() => check.actFor(by(reader), text, { ...read, shard: "b".repeat(32) }), denied, "another shard");
  clock.time = 2000;
  assert.throws(() => check.actFor(by(reader), text, read), denied, "when it is over");
  const anybody = signCapability(owner, terms({ audience: "", expiresAt: 3000 }));
  assert.equal(check.actFor(by(friend), anybody, read).requester, owner.nodeId);
});

test("the bytes of a capability are counted, however its text is spelt", () => {
  const { check } = make();
  const text = signCapability(owner, terms());
  check.actFor(by(reader), text, read);
  check.actFor(by(reader), `${text}=`, read);
  assert.throws(() => check.actFor(by(reader), text, read), denied);
  check.actFor(by(reader), text, { ...read, bytes: 50 });
  assert.throws(() => check.actFor(by(reader), text, { ...read, bytes: 1 }), denied);
});

test("capabilities made from one use its bytes together", () => {
  const { check } = make();
  const parent = signCapability(owner, terms());
  const narrowed = () => attenuateCapability(reader, parent, terms({ audience: friend.nodeId, maxBytes: 150 }));
  const [first, second] = [narrowed(), narrowed()];
  assert.equal(check.actFor(by(friend), first, read).capabilityEndsAt, 2000, "it falls with the one it was made from");
  assert.throws(() => check.actFor(by(friend), first, read), denied, "its own bytes");
  check.actFor(by(friend), second, read);
  assert.throws(() => check.actFor(by(friend), narrowed(), read), denied, "those of the one it was made from");
  assert.equal(check.actFor(by(reader), parent, { ...read, bytes: 50 }).requester, owner.nodeId);
});
