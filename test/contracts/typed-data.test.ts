// Holds the EIP-712 types that nodes sign to test/vectors/contracts.json; contracts/test/TypedData.t.sol holds the contracts to the same file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hashTypedData } from "viem";

const vectors = JSON.parse(readFileSync(new URL("../vectors/contracts.json", import.meta.url), "utf8"));

function domain(name: string) {
  return { name, version: "1", chainId: vectors.chainId, verifyingContract: vectors.contract };
}

test("a voucher has the digest of the vectors", () => {
  const { channelId, cumulative, digest } = vectors.voucher;
  const made = hashTypedData({
    domain: domain("Velas Sphere Channels"),
    types: { Voucher: [{ name: "channelId", type: "bytes32" }, { name: "cumulative", type: "uint128" }] },
    primaryType: "Voucher",
    message: { channelId, cumulative: BigInt(cumulative) },
  });
  assert.equal(made, digest);
});

test("a custody statement and its release have the digests of the vectors", () => {
  const { digest, ...custody } = vectors.custody;
  const made = hashTypedData({
    domain: domain("Velas Sphere Audit"),
    types: {
      Custody: [
        { name: "provider", type: "address" },
        { name: "requester", type: "address" },
        { name: "root", type: "bytes32" },
        { name: "leafCount", type: "uint64" },
        { name: "expiresAt", type: "uint64" },
        { name: "penalty", type: "uint128" },
        { name: "lease", type: "bytes32" },
      ],
    },
    primaryType: "Custody",
    message: {
      ...custody,
      leafCount: BigInt(custody.leafCount),
      expiresAt: BigInt(custody.expiresAt),
      penalty: BigInt(custody.penalty),
    },
  });
  assert.equal(made, digest);
  const release = hashTypedData({
    domain: domain("Velas Sphere Audit"),
    types: { Release: [{ name: "custody", type: "bytes32" }] },
    primaryType: "Release",
    message: { custody: digest },
  });
  assert.equal(release, vectors.release.digest);
});
