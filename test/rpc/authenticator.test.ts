import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  type Clock,
  macKeysOf,
  MAX_SKEW_MS,
  newSecretKey,
  type NodeError,
  nodeKeyOf,
  openSession,
  requesterMac,
  type SessionKey,
  signRequest,
  STREAM_DIGEST,
} from "../../src/core/mod.ts";
import { Authenticator, SESSION_HEADER, SIGNATURE_HEADER } from "../../src/rpc/authenticator.ts";
import { RequestSigner } from "../../src/rpc/client/request-signer.ts";
import { NonceMemory } from "../../src/rpc/nonce-memory.ts";

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;
const key = nodeKeyOf(newSecretKey());
const self = nodeKeyOf(newSecretKey()).nodeId;

function make(now = NOW) {
  const clock: Clock & { time: number } = { time: now, now: () => clock.time };
  return { clock, authenticator: new Authenticator({ self, chainId: 0, clock }) };
}

function session(terms: Partial<{ provider: typeof self; chainId: number; expiresAt: number }> = {}): SessionKey {
  return openSession(key, { provider: self, chainId: 0, expiresAt: NOW + HOUR, ...terms });
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");

function signed(
  by: SessionKey,
  options: { readonly path?: string; readonly at?: number; readonly body?: string } = {},
) {
  const { path = "/a", at = NOW, body } = options;
  const digest = body === undefined ? STREAM_DIGEST : createHash("sha256").update(body).digest();
  const proof = signRequest(by, { method: "POST", path, digest }, at);
  const headers = { [SESSION_HEADER]: base64(by.certificate), [SIGNATURE_HEADER]: base64(proof) };
  return { method: "POST", path, headers };
}

const refused = (error: NodeError) => error.code === "unauthenticated";

test("a signed request is its signer's, with the digest of its body, from both kinds of headers", () => {
  const { authenticator } = make();
  const mine = session();
  assert.deepEqual(authenticator.identify(signed(mine)), { requester: key.nodeId, bodySha256: undefined });
  const request = signed(mine, { body: "hello" });
  const headers = new Headers(request.headers);
  const bodySha256 = createHash("sha256").update("hello").digest("hex");
  assert.deepEqual(authenticator.identify({ ...request, headers }), { requester: key.nodeId, bodySha256 });
  assert.equal(authenticator.identify({ method: "POST", path: "/a", headers: {} }), undefined);
});

test("a replay is refused", () => {
  const { authenticator, clock } = make();
  const request = signed(session());
  authenticator.identify(request);
  assert.throws(() => authenticator.identify(request), refused);
  clock.time += MAX_SKEW_MS;
  assert.throws(() => authenticator.identify(request), refused);
});

test("a request is refused a millisecond beyond the skew, before and after", () => {
  const mine = session();
  for (const at of [NOW - MAX_SKEW_MS, NOW + MAX_SKEW_MS]) make().authenticator.identify(signed(mine, { at }));
  for (const at of [NOW - MAX_SKEW_MS - 1, NOW + MAX_SKEW_MS + 1]) {
    assert.throws(() => make().authenticator.identify(signed(mine, { at })), refused);
  }
});

test("sessions of others, of other chains, that are over or last too long are refused", () => {
  const { authenticator } = make();
  const wrong = [
    session({ provider: key.nodeId }),
    session({ chainId: 1 }),
    session({ expiresAt: NOW }),
    session({ expiresAt: NOW + 24 * HOUR + MAX_SKEW_MS + 1000 }),
  ];
  for (const one of wrong) assert.throws(() => authenticator.identify(signed(one)), refused);
});

test("a MAC is taken by the node whose key it is for, as a signature is: fresh, once, for its path; others refuse it", () => {
  const provider = nodeKeyOf(newSecretKey());
  const macKeys = macKeysOf(provider);
  const mine = session({ provider: provider.nodeId });
  const request = signed({ ...mine, mac: requesterMac(mine, macKeys.publicKey) }, { body: "hello" });
  const clock = { now: () => NOW };
  const options = { self: provider.nodeId, chainId: 0, clock };
  const authenticator = new Authenticator({ ...options, macKeys });
  assert.throws(() => authenticator.identify({ ...request, path: "/b" }), refused);
  assert.equal(authenticator.identify(request)?.requester, key.nodeId);
  assert.throws(() => authenticator.identify(request), refused);
  assert.equal(authenticator.identify(signed(mine))?.requester, key.nodeId, "signatures of the same session are good");
  assert.throws(() => new Authenticator(options).identify(request), refused);
  const other = macKeysOf(nodeKeyOf(newSecretKey()));
  assert.throws(() => new Authenticator({ ...options, macKeys: other }).identify(request), refused);
  const late = { ...options, macKeys, clock: { now: () => NOW + MAX_SKEW_MS + 1 } };
  assert.throws(() => new Authenticator(late).identify(request), refused);
});

test("a signature without a session, for another path, or that is rubbish is refused", () => {
  const { authenticator } = make();
  const request = signed(session());
  assert.throws(() => authenticator.identify({ ...request, path: "/b" }), refused);
  const bare = { [SIGNATURE_HEADER]: request.headers[SIGNATURE_HEADER]! };
  assert.throws(() => authenticator.identify({ ...request, headers: bare }), refused);
  for (const rubbish of ["", "x", "\0", "A".repeat(160), "A".repeat(10_000)]) {
    const headers = { ...request.headers, [SESSION_HEADER]: rubbish };
    assert.throws(() => authenticator.identify({ ...request, headers }), refused);
    assert.throws(
      () => authenticator.identify({ ...request, headers: { ...request.headers, [SIGNATURE_HEADER]: rubbish } }),
      refused,
    );
  }
});

test("nonces are remembered as long as they must be, forgotten later, and bounded", () => {
  const nonces = new NonceMemory({ keepMs: 100, maxNonces: 3 });
  assert.ok(nonces.add("a", 0));
  assert.ok(!nonces.add("a", 99));
  assert.ok(nonces.add("b", 99));
  assert.ok(!nonces.add("a", 150), "from the generation before");
  assert.ok(!nonces.add("b", 199));
  assert.ok(nonces.add("c", 199));
  assert.throws(() => nonces.add("d", 199), (error: NodeError) => error.code === "overloaded");
  assert.ok(nonces.add("a", 400));
});

test("a session names its provider's chain: another chain's is refused by both sides, and none is for those without one", () => {
  const clock = { now: () => NOW };
  const signedFor = (chains: { readonly own: number; readonly provider?: number }) => {
    const signer = new RequestSigner({ key, chainId: chains.own, clock });
    const peer = { nodeId: self, ...(chains.provider !== undefined && { chainId: chains.provider }) };
    return { method: "POST", path: "/a", headers: signer.sign(peer, { method: "POST", path: "/a" }, "stream") };
  };
  const at = (chainId: number) => new Authenticator({ self, chainId, clock });
  for (const [own, provider] of [[31337, 31337], [0, 31337], [31337, undefined], [0, undefined]] as const) {
    const request = signedFor({ own, ...(provider !== undefined && { provider }) });
    assert.equal(at(provider ?? 0).identify(request)?.requester, key.nodeId, `${own} at ${provider}`);
    for (const other of [1, provider === undefined ? 31337 : 0]) {
      assert.throws(
        () => at(other).identify(request),
        { code: "unauthenticated", message: new RegExp(`for chain ${provider ?? 0}, and this node is on ${other}`) },
      );
    }
  }
  assert.throws(() => signedFor({ own: 1, provider: 31337 }), {
    code: "failed_precondition",
    message: /is on chain 31337, and this node on 1: they cannot pay each other/,
  });
});
