/** What holds for every {@link ShardService}. Each test gets a fresh one, and contexts of two owners. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { MerkleBuilder, verifyRange } from "../../src/codec/mod.ts";
import {
  type CallContext,
  isReceiptSigned,
  MAX_SHARD_READ_BYTES,
  NodeError,
  type ShardService,
} from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";

export interface ShardServiceFixture {
  readonly shards: ShardService;
  /** A call of the owner; `signal` is for the test to abort. */
  readonly ctx: (signal?: AbortSignal) => CallContext;
  /** The same service for another owner. */
  readonly other: { readonly shards: ShardService; readonly ctx: CallContext };
  /** The bytes that the provider would still take at the start. */
  readonly quotaBytes: number;
}

const HOUR = 3_600_000;
const id = (digit: string) => digit.repeat(32);

/** Copies, which are the put's. */
async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield new Uint8Array(bytes.subarray(at, at + size));
}

function headOf(bytes: Uint8Array) {
  const tree = new MerkleBuilder();
  tree.append(bytes);
  return tree.finish();
}

const failing = (code: string) => (error: unknown) => {
  assert.ok(error instanceof NodeError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

export function shardServiceContract(name: string, open: (t: TestScope) => Promise<ShardServiceFixture>): void {
  for (const size of [1024, 65_536, 65_536 + 1024, 5 << 20]) {
    test(`${name}: a shard of ${size} bytes is put, read with proofs, and proven`, async (t) => {
      const { shards, ctx } = await open(t);
      const bytes = randomBytes(size);
      const head = headOf(bytes);
      const receipt = await shards.put(pieces(bytes), { id: id("a"), maxBytes: size, leaseMs: HOUR }, ctx());
      assert.ok(isReceiptSigned(receipt));
      assert.equal(receipt.record.root, Buffer.from(head.root).toString("hex"));
      assert.equal(receipt.record.sizeBytes, size);
      assert.equal(receipt.record.owner, ctx().requester);
      assert.deepEqual(await shards.stat(id("a"), ctx()), receipt.record);
      const end = Math.min(size, MAX_SHARD_READ_BYTES);
      for (const span of [{ start: 0, end }, { start: size - 1024, end: size }]) {
        const read = await shards.get(id("a"), span, ctx());
        assert.ok(Buffer.from(read.bytes).equals(bytes.subarray(span.start, span.end)));
        assert.ok(verifyRange(head, { firstLeaf: span.start / 1024, ...read }));
      }
      const leaves = [size / 1024 - 1, 0];
      const proofs = await shards.prove(id("a"), leaves, ctx());
      assert.deepEqual(proofs.map(({ leaf }) => leaf), leaves);
      for (const { leaf, ...rest } of proofs) assert.ok(verifyRange(head, { firstLeaf: leaf, ...rest }));
    });
  }

  test(`${name}: the same bytes again extend the lease, others are refused`, async (t) => {
    const { shards, ctx } = await open(t);
    const bytes = randomBytes(4096);
    const put = (data: Uint8Array, leaseMs: number) =>
      shards.put(pieces(data), { id: id("b"), maxBytes: 8192, leaseMs }, ctx());
    const first = await put(bytes, HOUR);
    const second = await put(bytes, 2 * HOUR);
    assert.ok(second.record.expiresAt > first.record.expiresAt);
    await assert.rejects(put(randomBytes(4096), HOUR), failing("already_exists"));
    await assert.rejects(put(randomBytes(5120), HOUR), failing("already_exists"));
  });

  test(`${name}: what is no shard is refused and leaves nothing`, async (t) => {
    const { shards, ctx, quotaBytes } = await open(t);
    const put = (size: number, maxBytes: number) =>
      shards.put(pieces(randomBytes(size)), { id: id("c"), maxBytes, leaseMs: HOUR }, ctx());
    await assert.rejects(put(0, 1024), failing("invalid_argument"));
    await assert.rejects(put(1000, 1024), failing("invalid_argument"));
    await assert.rejects(put(2048, 1024), failing("invalid_argument"));
    await assert.rejects(put(1024, quotaBytes + 1024), failing("storage_full"));
    await assert.rejects(
      shards.put(pieces(randomBytes(1024)), { id: "x", maxBytes: 1024, leaseMs: HOUR }, ctx()),
      failing("invalid_argument"),
    );
    await assert.rejects(
      shards.put(pieces(randomBytes(1024)), { id: id("c"), maxBytes: 1024, leaseMs: 0 }, ctx()),
      failing("invalid_argument"),
    );
    assert.deepEqual(await shards.usage(ctx()), { shards: 0, bytes: 0, freeBytes: quotaBytes });
  });

  test(`${name}: an interrupted upload goes on where it was`, async (t) => {
    const { shards, ctx } = await open(t);
    const bytes = randomBytes(3 << 20);
    const order = { id: id("d"), maxBytes: bytes.length, leaseMs: HOUR };
    async function* breaking() {
      yield* pieces(bytes.subarray(0, 2 << 20));
      await new Promise((resolve) => setTimeout(resolve, 200)); // for them to arrive
      throw new Error("the line broke");
    }
    await assert.rejects(shards.put(breaking(), order, ctx()));
    let offset = 0;
    for (let tries = 0; offset === 0 && tries < 200; tries++) {
      offset = await shards.uploaded(id("d"), ctx());
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(offset > 0 && offset <= 2 << 20);
    await assert.rejects(
      shards.put(pieces(bytes), { ...order, offset: bytes.length }, ctx()),
      failing("failed_precondition"),
    );
    const receipt = await shards.put(pieces(bytes.subarray(offset)), { ...order, offset }, ctx());
    assert.equal(receipt.record.root, Buffer.from(headOf(bytes).root).toString("hex"));
    assert.equal(await shards.uploaded(id("d"), ctx()), 0);
  });

  test(`${name}: an owner refuses capabilities up to a time, which only grows`, async (t) => {
    const { shards, ctx, other } = await open(t);
    await assert.rejects(shards.refuse(id("e"), 1000, ctx()), failing("not_found"));
    await shards.put(pieces(randomBytes(1024)), { id: id("e"), maxBytes: 1024, leaseMs: HOUR }, ctx());
    assert.equal((await shards.stat(id("e"), ctx())).refusedUpTo, undefined);
    await assert.rejects(other.shards.refuse(id("e"), 1000, other.ctx), failing("not_found"));
    await assert.rejects(shards.refuse(id("e"), 0, ctx()), failing("invalid_argument"));
    await shards.refuse(id("e"), 5000, ctx());
    await shards.refuse(id("e"), 4000, ctx());
    const { record } = await shards.renew(id("e"), 2 * HOUR, ctx());
    assert.equal(record.refusedUpTo, 5000);
    await shards.get(id("e"), { start: 0, end: 1024 }, ctx());
  });

  test(`${name}: a lease is extended, never cut`, async (t) => {
    const { shards, ctx } = await open(t);
    const { record } = await shards.put(
      pieces(randomBytes(1024)),
      { id: id("e"), maxBytes: 1024, leaseMs: 2 * HOUR },
      ctx(),
    );
    assert.equal((await shards.renew(id("e"), HOUR, ctx())).record.expiresAt, record.expiresAt);
    const renewed = await shards.renew(id("e"), 3 * HOUR, ctx());
    assert.ok(renewed.record.expiresAt > record.expiresAt);
    assert.ok(isReceiptSigned(renewed));
  });

  test(`${name}: a put and a renewal that the owner refuses are taken back`, async (t) => {
    const { shards, ctx, other } = await open(t);
    const order = { id: id("e"), maxBytes: 1024, leaseMs: HOUR };
    await assert.rejects(shards.refuseLease(id("e"), ctx()), failing("failed_precondition"));
    const { record } = await shards.put(pieces(randomBytes(1024)), order, ctx());
    await assert.rejects(other.shards.refuseLease(id("e"), other.ctx), failing("failed_precondition"));
    await shards.renew(id("e"), 2 * HOUR, ctx());
    for (let times = 0; times < 2; times++) await shards.refuseLease(id("e"), ctx());
    assert.equal((await shards.stat(id("e"), ctx())).expiresAt, record.expiresAt);
    await shards.put(pieces(randomBytes(1024)), { ...order, id: id("d") }, ctx());
    await shards.refuseLease(id("d"), ctx());
    await assert.rejects(shards.stat(id("d"), ctx()), failing("not_found"));
    assert.equal((await shards.usage(ctx())).shards, 1);
  });

  test(`${name}: ranges and challenges that are none are refused`, async (t) => {
    const { shards, ctx } = await open(t);
    await shards.put(pieces(randomBytes(8192)), { id: id("f"), maxBytes: 8192, leaseMs: HOUR }, ctx());
    for (
      const [start, end] of [[0, 0], [0, 1000], [1, 1024], [8192, 9216], [0, 9216], [0, MAX_SHARD_READ_BYTES + 1024]]
    ) {
      await assert.rejects(
        shards.get(id("f"), { start: start!, end: end! }, ctx()),
        failing("invalid_argument"),
        `${start}-${end}`,
      );
    }
    for (const leaves of [[], [8], Array.from({ length: 513 }, () => 0)]) {
      await assert.rejects(shards.prove(id("f"), leaves, ctx()), failing("invalid_argument"));
    }
    assert.equal((await shards.prove(id("f"), Array.from({ length: 512 }, (_, i) => i % 8), ctx())).length, 512);
  });

  test(`${name}: owners see their own shards only`, async (t) => {
    const { shards, ctx, other } = await open(t);
    const bytes = randomBytes(1024);
    await shards.put(pieces(bytes), { id: id("1"), maxBytes: 1024, leaseMs: HOUR }, ctx());
    for (
      const act of [
        () => other.shards.get(id("1"), { start: 0, end: 1024 }, other.ctx),
        () => other.shards.stat(id("1"), other.ctx),
        () => other.shards.prove(id("1"), [0], other.ctx),
        () => other.shards.renew(id("1"), HOUR, other.ctx),
      ]
    ) await assert.rejects(act(), failing("not_found"));
    await other.shards.remove(id("1"), other.ctx);
    await other.shards.put(pieces(randomBytes(2048)), { id: id("1"), maxBytes: 2048, leaseMs: HOUR }, other.ctx);
    assert.ok(Buffer.from((await shards.get(id("1"), { start: 0, end: 1024 }, ctx())).bytes).equals(bytes));
    assert.equal((await other.shards.usage(other.ctx)).bytes, 2048);
    assert.equal((await shards.usage(ctx())).bytes, 1024);
  });

  test(`${name}: shards are listed by page, and removed`, async (t) => {
    const { shards, ctx } = await open(t);
    for (const digit of ["3", "1", "2"]) {
      await shards.put(pieces(randomBytes(1024)), { id: id(digit), maxBytes: 1024, leaseMs: HOUR }, ctx());
    }
    const first = await shards.list({ pageSize: 2, pageToken: "" }, ctx());
    assert.deepEqual(first.shards.map((one) => one.id), [id("1"), id("2")]);
    const second = await shards.list({ pageSize: 2, pageToken: first.nextPageToken }, ctx());
    assert.deepEqual(second.shards.map((one) => one.id), [id("3")]);
    assert.equal(second.nextPageToken, "");
    await shards.remove(id("1"), ctx());
    await shards.remove(id("1"), ctx());
    await assert.rejects(shards.stat(id("1"), ctx()), failing("not_found"));
    assert.equal((await shards.usage(ctx())).shards, 2);
  });
}
