import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type PeerOffer, wei } from "../../src/core/mod.ts";
import {
  decodeListed,
  decodePeer,
  encodeListed,
  encodePeer,
  type PeerRecord,
} from "../../src/discovery/peer-record.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/peers.json", import.meta.url), "utf8"));

/** The record of a vector, whose amounts are texts. */
function recordOf(json: PeerRecord): PeerRecord {
  const { claims } = json;
  if (claims?.offer === undefined) return json;
  const { token, ...amounts } = claims.offer.rates;
  const rates = Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, wei(BigInt(amount))]));
  return {
    ...json,
    claims: { ...claims, offer: { ...claims.offer, rates: { token, ...rates } as PeerOffer["rates"] } },
  };
}

test("peers are stored as the vectors say", () => {
  for (const { stored, record } of vectors.peers) {
    assert.deepEqual(decodePeer(stored), recordOf(record));
    assert.equal(encodePeer(recordOf(record)), stored);
  }
});

test("listed nodes are stored as the vectors say", () => {
  for (const { stored, listed } of vectors.listed) {
    assert.deepEqual(decodeListed(stored), listed);
    assert.equal(encodeListed(listed), stored);
  }
});

test("a damaged peer is forgotten; one of another format is an error", () => {
  const [{ stored }] = vectors.peers;
  for (const text of ["", "{", "null", "7", '"x"', '{"v":1}', stored.replace('"minimum":"', '"minimum":"x')]) {
    assert.equal(decodePeer(text), undefined, text);
  }
  assert.equal(decodeListed('{"v":1,"node":5}'), undefined);
  assert.throws(() => decodePeer(stored.replace('"v":1', '"v":2')), { code: "storage_failed", message: /format 2/ });
});
