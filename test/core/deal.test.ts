import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hashTypedData } from "viem";
import {
  costTableOf,
  countsOtherwise,
  DEAL_TYPES,
  fromHex,
  leaseDigest,
  leaseOf,
  namedCostTable,
  nodeKeyOf,
  type Offer,
  offerDigest,
  quoteDigest,
  type Rates,
  receiptDigest,
  recoverDigestSigner,
  shardLeaseDigest,
  toHex,
  typedDigest,
  typeText,
  voucherDigest,
  wei,
} from "../../src/core/mod.ts";

const read = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8"));
const vectors = read("payments");
const at = vectors.settlement;

const rates = Object.fromEntries(
  Object.entries(vectors.rates).map(([name, value]) => [name, name === "token" ? value : wei(BigInt(value as string))]),
) as unknown as Rates;
const offer: Offer = { ...vectors.offer, rates };
const quote = { ...offer, ...vectors.quote };
const { costTable } = vectors;

test("signed deals have the types and digests of the vectors", () => {
  const receipt = {
    ...vectors.receipt,
    charged: wei(BigInt(vectors.receipt.charged)),
    paid: wei(BigInt(vectors.receipt.paid)),
  };
  const digests = {
    offer: offerDigest(at, offer),
    quote: quoteDigest(at, quote),
    meteredOffer: offerDigest(at, { ...offer, costTable }),
    meteredQuote: quoteDigest(at, { ...quote, costTable }),
    lease: leaseDigest(at, vectors.lease),
    receipt: receiptDigest(at, receipt),
  };
  for (const [name, digest] of Object.entries(digests)) {
    assert.equal(toHex(digest), vectors.digests[name], name);
    assert.equal(typeText(DEAL_TYPES[name as keyof typeof digests]), vectors.types[name]);
  }
});

test("the lease of a shard is made of its record and of the quote, and has the digest and the signature of the vector", () => {
  const { provider, record, quote, startsAt, digest, signature } = vectors.shardLease;
  const found = shardLeaseDigest(at, record, { quote, startsAt });
  assert.equal(toHex(found), digest);
  assert.equal(recoverDigestSigner(found, fromHex(signature)), provider);
  const lease = leaseOf(record, { quote, startsAt });
  assert.equal(lease.shard, `0x${record.id}${"0".repeat(32)}`);
  assert.equal(toHex(leaseDigest(at, lease)), digest);
});

test("an offer names the cost table where instructions cost something, and one that names none counts by the first", () => {
  assert.deepEqual(namedCostTable(rates, 2), { costTable: 2 });
  assert.deepEqual(namedCostTable({ ...rates, megaInstructions: wei(0n) }, 2), {});
  assert.equal(costTableOf(offer), 1);
  assert.equal(countsOtherwise(offer, 1), false);
  assert.equal(countsOtherwise(offer, 2), true);
  assert.equal(countsOtherwise({ ...offer, costTable: 2 }, 2), false);
  assert.equal(countsOtherwise({ costTable: 3, rates: { ...rates, megaInstructions: wei(0n) } }, 2), false);
});

test("a voucher has the digest that the contract computes", () => {
  const { chainId, contract, voucher } = read("contracts");
  const digest = voucherDigest({ chainId, channels: contract }, {
    channelId: voucher.channelId,
    cumulative: wei(BigInt(voucher.cumulative)),
  });
  assert.equal(toHex(digest), voucher.digest);
});

test("digests of nested structs are viem's", () => {
  const fields = (list: readonly (readonly [unknown, string])[]) =>
    list.map(([type, name]) => ({ name, type: typeof type === "string" ? type : "Rates" }));
  const nested = DEAL_TYPES.quote.fields.find(([, name]) => name === "rates")![0] as typeof DEAL_TYPES.voucher;
  const made = hashTypedData({
    domain: {
      name: "Velas Sphere Market",
      version: "1",
      chainId: at.chainId,
      verifyingContract: at.channels,
    },
    types: { Quote: fields(DEAL_TYPES.quote.fields), Rates: fields(nested.fields) },
    primaryType: "Quote",
    message: {
      ...quote,
      defaultTimeoutMs: BigInt(quote.defaultTimeoutMs),
      defaultOutputBytes: BigInt(quote.defaultOutputBytes),
      maxInputBytes: BigInt(quote.maxInputBytes),
      issuedAt: BigInt(quote.issuedAt),
      expiresAt: BigInt(quote.expiresAt),
    },
  });
  assert.equal(made, toHex(quoteDigest(at, quote)));
});

test("any change of a quote is another digest, and another signer", () => {
  const key = nodeKeyOf(new Uint8Array(32).fill(7));
  const digest = quoteDigest(at, quote);
  const signature = key.signDigest(digest);
  assert.equal(recoverDigestSigner(digest, signature), key.nodeId);
  const altered = [
    { ...quote, rates: { ...rates, minimum: wei(rates.minimum + 1n) } },
    { ...quote, expiresAt: quote.expiresAt + 1 },
    { ...quote, channelId: quote.nonce },
    { ...quote, costTable },
    { ...quote, costTable: costTable + 1 },
  ];
  for (const other of altered) assert.notEqual(recoverDigestSigner(quoteDigest(at, other), signature), key.nodeId);
  for (const place of [{ ...at, chainId: at.chainId + 1 }, { ...at, channels: key.nodeId }]) {
    assert.notEqual(recoverDigestSigner(quoteDigest(place, quote), signature), key.nodeId);
  }
});

test("typedDigest() refuses values that do not fit their type", () => {
  const domain = { name: "x", chainId: 1, verifyingContract: at.channels };
  const one = (type: string) => ({ name: "One", fields: [[type, "value"]] }) as const;
  for (
    const [type, value] of [["uint128", 1n << 128n], ["uint64", -1n], ["bytes32", "0x00"], ["address", "0xzz"]] as const
  ) {
    assert.throws(() => typedDigest(domain, one(type), { value }), { code: "invalid_argument" });
  }
});
