import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  attenuateCapability,
  type CapabilityTerms,
  newSecretKey,
  NodeError,
  nodeKeyOf,
  readCapability,
  signCapability,
} from "../../src/core/mod.ts";

const owner = nodeKeyOf(newSecretKey());
const reader = nodeKeyOf(newSecretKey());
const friend = nodeKeyOf(newSecretKey());
const shard = (digit: string) => digit.repeat(32);

function terms(changes: Partial<CapabilityTerms> = {}): CapabilityTerms {
  return {
    audience: reader.nodeId,
    shards: [shard("a"), shard("b")],
    actions: ["read", "audit"],
    expiresAt: 2000,
    maxBytes: 1000,
    ...changes,
  };
}

const fails = (code: string) => (error: unknown) => error instanceof NodeError && error.code === code;

test("a capability says what it allows, and who signed it", () => {
  const { id, ...rest } = readCapability(signCapability(owner, terms()));
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.deepEqual(rest, { ...terms(), issuer: owner.nodeId });
  assert.equal(readCapability(signCapability(owner, terms({ audience: "" }))).audience, "");
});

test("the capability of the vector is read, and nothing that differs from it", () => {
  const { text, ...expected } = JSON.parse(
    readFileSync(new URL("../vectors/capability.json", import.meta.url), "utf8"),
  ) as { text: string } & Record<string, unknown>;
  assert.deepEqual(readCapability(text), expected);
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === "A" ? "B" : "A";
    const changed = text.slice(0, at) + other + text.slice(at + 1);
    let read;
    try {
      read = readCapability(changed);
    } catch (error) {
      assert.ok(fails("unauthenticated")(error), `at ${at}: ${error}`);
      continue;
    }
    // The last digit of base64 may hold bits that mean nothing.
    assert.deepEqual(read, expected);
  }
});

test("a capability is passed on once, by its audience, and only narrowed", () => {
  const parent = signCapability(owner, terms());
  const narrow = terms({
    audience: friend.nodeId,
    shards: [shard("b")],
    actions: ["read"],
    expiresAt: 1500,
    maxBytes: 10,
  });
  const { id: _id, ...rest } = readCapability(attenuateCapability(reader, parent, narrow));
  const { id, maxBytes, expiresAt } = readCapability(parent);
  assert.deepEqual(rest, { ...narrow, issuer: owner.nodeId, parent: { id, maxBytes, expiresAt } });

  const wider = [{ shards: [shard("c")] }, { expiresAt: 2001 }, { maxBytes: 1001 }];
  for (const change of wider) {
    assert.throws(() => attenuateCapability(reader, parent, terms(change)), fails("unauthenticated"));
  }
  const readOnly = signCapability(owner, terms({ actions: ["read"] }));
  assert.throws(() => attenuateCapability(reader, readOnly, terms()), fails("unauthenticated"));
  assert.throws(() => attenuateCapability(friend, parent, narrow), fails("unauthenticated"), "by somebody else");
  const twice = attenuateCapability(reader, parent, terms({ audience: friend.nodeId }));
  assert.throws(() => attenuateCapability(friend, twice, narrow), fails("invalid_argument"), "twice");
  // What was made from one capability does not go with another.
  const other = signCapability(owner, terms());
  assert.throws(() => readCapability(`${other}~${twice.split("~")[1]}`), fails("unauthenticated"));
});

test("what is no capability is refused", () => {
  const { maxBytes: _, ...rest } = terms();
  for (const text of ["", ".", "~", "a.b", "a.b~c.d~e.f", "x".repeat(20_000)]) {
    assert.throws(() => readCapability(text), fails("unauthenticated"), text.slice(0, 20));
  }
  for (const change of [{ shards: [] }, { shards: ["x"] }, { actions: [] }, { expiresAt: -1 }, { maxBytes: 1.5 }]) {
    assert.throws(() => signCapability(owner, { ...rest, maxBytes: 1, ...change }), fails("invalid_argument"));
  }
});
