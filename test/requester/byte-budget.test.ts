import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ShardService } from "../../src/core/mod.ts";
import { type BudgetTime, ByteBudget } from "../../src/requester/byte-budget.ts";
import { test } from "../testing.ts";
import { once, readAll, settled, swarm } from "./file-swarm.ts";

/** Time that passes only while somebody waits for it, at once. */
class WaitedTime implements BudgetTime {
  #nowMs = 0;
  readonly #waiting: { readonly atMs: number; go(): void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wait(ms: number): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ atMs: this.#nowMs + ms, go });
      setTimeout(() => {
        this.#waiting.sort((a, b) => a.atMs - b.atMs);
        const next = this.#waiting.shift()!;
        this.#nowMs = Math.max(this.#nowMs, next.atMs);
        next.go();
      }, 1);
    });
  }
}

/** Bytes as they passed, and when. */
class Passed {
  readonly #time: BudgetTime;
  readonly #all: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(time: BudgetTime) {
    this.#time = time;
  }

  add(bytes: number): void {
    this.#all.push({ atMs: this.#time.monotonicMs(), bytes });
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get lastAtMs(): number {
    return Math.max(...this.#all.map(({ atMs }) => atMs));
  }

  /** At no time more has passed than the rate allows, a second's worth at once and one piece that was begun. */
  assertWithin(bytesPerSecond: number, pieceBytes: number): void {
    let passed = 0;
    for (const { atMs, bytes } of this.#all.toSorted((a, b) => a.atMs - b.atMs)) {
      passed += bytes;
      const most = bytesPerSecond * (1 + atMs / 1000) + pieceBytes;
      assert.ok(passed <= most, `${passed} bytes by ${atMs} ms, at most ${most}`);
    }
  }
}

test("a budget lets a second's worth through at once, then what its rate allows, to all together", async () => {
  const time = new WaitedTime();
  const budget = new ByteBudget(1000, time);
  const passed = new Passed(time);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 40 }, async () => {
    await budget.take(100, signal);
    passed.add(100);
  }));
  passed.assertWithin(1000, 100);
  assert.ok(passed.lastAtMs >= 2900 && passed.lastAtMs <= 3100, `${passed.lastAtMs} ms`);
});

test("a wait for a budget ends with its signal", async () => {
  const budget = new ByteBudget(1);
  const end = new AbortController();
  await budget.take(1000, end.signal);
  const waiting = budget.take(1, end.signal);
  end.abort();
  await assert.rejects(waiting, { name: "AbortError" });
});

/** Everything that one method of the providers gives or takes passes by. */
function watch(
  { providers }: Awaited<ReturnType<typeof swarm>>,
  method: "get" | "put" | "prove",
  passed: Passed,
): void {
  for (const provider of providers) {
    const honest = provider.shards;
    const watched = {
      get: async (...args: Parameters<ShardService["get"]>) => {
        const answer = await honest.get(...args);
        passed.add(answer.bytes.length);
        return answer;
      },
      prove: async (...args: Parameters<ShardService["prove"]>) => {
        const answer = await honest.prove(...args);
        for (const { bytes, proof } of answer) passed.add(bytes.length + proof.length);
        return answer;
      },
      put: (...[source, ...rest]: Parameters<ShardService["put"]>) => {
        async function* counted(): AsyncGenerator<Uint8Array> {
          for await (const bytes of source) {
            passed.add(bytes.length);
            yield bytes;
          }
        }
        return honest.put(counted(), ...rest);
      },
    };
    provider.shards = new Proxy(honest, {
      get: (target, name: keyof ShardService) =>
        name === method ? watched[method] : (target[name] as (...all: unknown[]) => unknown).bind(target),
    });
  }
}

test("a small files.auditBytesPerSecond spreads the audits of many files over the time that their bytes take", async (t) => {
  const bytesPerSecond = 2048;
  const budgetTime = new WaitedTime();
  const fixture = await swarm(t, { settings: { auditBytesPerSecond: bytesPerSecond, auditLeaves: 4 }, budgetTime });
  const { files, ctx } = fixture;
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const { id } = await files.put(once(randomBytes(20_000)), { name: `${i}`, contentType: "" }, ctx());
    await settled(fixture, id);
    ids.push(id);
  }
  const passed = new Passed(budgetTime);
  watch(fixture, "prove", passed);
  const audited = await Promise.all(ids.map((id) => files.audit({ id }, ctx())));
  for (const { record } of audited) assert.equal(record.state, "proven");
  assert.ok(passed.bytes >= 5 * 6 * 4 * 1024, `${passed.bytes} bytes`);
  passed.assertWithin(bytesPerSecond, 4 * (1024 + 32 * 5));
  const leastMs = (passed.bytes / bytesPerSecond - 1) * 1000 - 4000;
  assert.ok(leastMs > 50_000 && passed.lastAtMs >= leastMs, `${passed.lastAtMs} ms, at least ${leastMs}`);
});

test("a small files.repairBytesPerSecond spreads a repair over the time that its bytes take, within the file", async (t) => {
  const bytesPerSecond = 1 << 20;
  const budgetTime = new WaitedTime();
  const fixture = await swarm(t, { count: 7, settings: { repairBytesPerSecond: bytesPerSecond }, budgetTime });
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(12 << 20);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  providers.find(({ target }) => target === shards[0]!.provider)!.down = true;
  const [written, read] = [new Passed(budgetTime), new Passed(budgetTime)];
  watch(fixture, "put", written);
  watch(fixture, "get", read);
  const { margin } = await files.repair({ id }, ctx());
  assert.equal(margin, 2);
  assert.ok(written.bytes >= 3 << 20 && read.bytes >= 12 << 20, `${written.bytes} and ${read.bytes} bytes`);
  // One read of a window is ahead of the budget.
  written.assertWithin(bytesPerSecond / 5, 1 << 20);
  read.assertWithin(bytesPerSecond * 4 / 5, 4 << 20);
  assert.ok(written.lastAtMs >= 12_000 && written.lastAtMs <= 17_000, `${written.lastAtMs} ms`);
  assert.ok((await readAll(fixture, id)).equals(bytes));
});
