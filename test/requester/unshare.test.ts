import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { FakeTime, once, settled, type Swarm, swarm } from "./file-swarm.ts";

const HOUR = 3_600_000;

/** Up to which end of capabilities each provider of a shard refuses them, by its address. */
async function refusals({ providers, ctx }: Swarm): Promise<Map<string, number | undefined>> {
  const found = new Map<string, number | undefined>();
  for (const { target, shards } of providers) {
    for (const { refusedUpTo } of (await shards.list({ pageSize: 100, pageToken: "" }, ctx())).shards) {
      found.set(target, refusedUpTo);
    }
  }
  return found;
}

async function shared(t: Parameters<typeof swarm>[0]) {
  const time = new FakeTime();
  const fixture = await swarm(t, { time });
  const { id } = await fixture.files.put(once(randomBytes(20_000)), { name: "a", contentType: "" }, fixture.ctx());
  const { shards } = await settled(fixture, id);
  await fixture.files.share({ id }, "ab".repeat(32), fixture.ctx());
  return { time, fixture, id, placed: shards.map(({ provider }) => provider) };
}

test("a provider that is down when shares are taken back is told when it is there again", async (t) => {
  const { time, fixture, id, placed } = await shared(t);
  const { files, ctx, providers } = fixture;
  assert.deepEqual(new Set((await refusals(fixture)).values()), new Set([undefined]));
  const away = providers.find(({ target }) => target === placed[0])!;
  away.down = true;
  const { told, pending } = await files.unshare({ id }, ctx());
  assert.deepEqual(pending, [away.target]);
  assert.deepEqual(new Set(told), new Set(placed.slice(1)));
  assert.equal((await refusals(fixture)).get(away.target), undefined);
  away.down = false;
  time.pass(6 * HOUR);
  await files.look();
  const upTo = [...(await refusals(fixture)).values()];
  assert.equal(upTo.length, placed.length);
  assert.ok(upTo.every((time) => time !== undefined && time === upTo[0]), JSON.stringify(upTo));
});

test("a provider that gets a shard in a repair refuses the shares that were taken back", async (t) => {
  const { fixture, id, placed } = await shared(t);
  const { files, ctx, providers } = fixture;
  await files.unshare({ id }, ctx());
  providers.find(({ target }) => target === placed[0])!.down = true;
  const { shards } = await files.repair({ id }, ctx());
  const now = shards[0]!.provider;
  assert.notEqual(now, placed[0]);
  const all = await refusals(fixture);
  assert.notEqual(all.get(now), undefined);
  assert.equal(all.get(now), all.get(placed[1]!));
});

test("a provider that still has a copy of a shard that was moved away refuses the shares too", async (t) => {
  const { fixture, id, placed } = await shared(t);
  const { files, ctx, providers } = fixture;
  const replaced = providers.find(({ target }) => target === placed[0])!;
  replaced.down = true;
  const { shards } = await files.repair({ id }, ctx());
  assert.notEqual(shards[0]!.provider, replaced.target);
  replaced.down = false;
  const { told, pending } = await files.unshare({ id }, ctx());
  assert.ok(told.includes(replaced.target), JSON.stringify(told));
  assert.deepEqual(pending, []);
  const all = await refusals(fixture);
  assert.equal(all.get(replaced.target), all.get(placed[1]!));
  assert.notEqual(all.get(replaced.target), undefined);
});

test("shares are taken back again without harm, and only of a file that is there", async (t) => {
  const { fixture, id, placed } = await shared(t);
  const { files, ctx } = fixture;
  for (let i = 0; i < 2; i++) {
    const { told, pending } = await files.unshare({ id }, ctx());
    assert.deepEqual([told.length, pending.length], [placed.length, 0]);
  }
  await assert.rejects(
    files.unshare({ id: "0".repeat(32) }, ctx()),
    (error) => error instanceof NodeError && error.code === "not_found",
  );
});
