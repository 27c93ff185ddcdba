import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { FREE_RATES, maxTaskPrice, priceOf, type Rates, taskPrice, wei } from "../../src/core/mod.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/payments.json", import.meta.url), "utf8"));
const GIB = 2 ** 30;

function rates(changes: Partial<Rates>): Rates {
  return { ...FREE_RATES, ...changes };
}

test("prices are those of the vectors", () => {
  const { token, ...amounts } = vectors.rates;
  const all = {
    token,
    ...Object.fromEntries(Object.entries(amounts).map(([name, text]) => [name, BigInt(text as string)])),
  };
  for (const { quantities, price } of vectors.prices) {
    const { byteMs, ...rest } = quantities;
    assert.equal(
      priceOf(all as Rates, { ...rest, byteMs: BigInt(byteMs ?? 0) }),
      BigInt(price),
      JSON.stringify(quantities),
    );
  }
});

test("a price is rounded up once, over all terms together", () => {
  const half = rates({ gibWritten: wei(1n), gibRead: wei(1n) });
  assert.equal(priceOf(half, { writtenBytes: GIB / 2, readBytes: GIB / 2 }), 1n);
  assert.equal(priceOf(half, { writtenBytes: GIB / 2, readBytes: GIB / 2 + 1 }), 2n);
  assert.equal(priceOf(half, { writtenBytes: 1 }), 1n);
  assert.equal(priceOf(half, {}), 0n);
});

test("each unit is what its name says", () => {
  assert.equal(priceOf(rates({ gibHour: wei(7n) }), { byteMs: BigInt(GIB) * 3_600_000n }), 7n);
  assert.equal(priceOf(rates({ gibWritten: wei(7n) }), { writtenBytes: GIB }), 7n);
  assert.equal(priceOf(rates({ gibRead: wei(7n) }), { readBytes: GIB }), 7n);
  assert.equal(priceOf(rates({ megaInstructions: wei(7n) }), { instructions: 1_000_000 }), 7n);
  assert.equal(priceOf(rates({ cpuSecond: wei(7n) }), { cpuMicros: 1_000_000 }), 7n);
  assert.equal(priceOf(rates({ gpuSecond: wei(7n) }), { gpuMicros: 1_000_000 }), 7n);
});

test("a second in the plugin costs no more than its cap, and alone counts where nothing is metered", () => {
  const both = rates({ megaInstructions: wei(10n), cpuSecond: wei(25n) });
  assert.equal(priceOf(both, { instructions: 2_000_000, cpuMicros: 1_000_000 }), 20n);
  assert.equal(priceOf(both, { instructions: 3_000_000, cpuMicros: 1_000_000 }), 25n);
  assert.equal(priceOf(both, { instructions: 0, cpuMicros: 1_000_000 }), 25n);
});

test("time on a GPU costs beside the rest, at most for as long as the task ran and may run", () => {
  const both = rates({ cpuSecond: wei(10n), gpuSecond: wei(1000n) });
  const usage = { wallMicros: 3_000_000, inputBytes: 0, outputBytes: 0, instructions: 0 };
  const limits = { timeoutMs: 5000, outputBytes: 0 };
  assert.equal(taskPrice(both, usage, { limits }), 30n);
  assert.equal(taskPrice(both, { ...usage, gpuMicros: 2_000_000 }, { limits }), 2030n);
  assert.equal(taskPrice(both, { ...usage, gpuMicros: 4_000_000 }, { limits }), 3030n);
  assert.equal(taskPrice(both, { ...usage, gpuMicros: 4_000_000 }, { limits: { timeoutMs: 1000 } }), 1010n);
  assert.equal(maxTaskPrice(both, { limits }, 0), 5050n);
  assert.equal(maxTaskPrice(rates({ gpuSecond: wei(1000n) }), { limits }, 0), 5000n);
});

test("a module that is named by its SHA-256 reserves nothing for a GPU, and is never charged for one", () => {
  const both = rates({ cpuSecond: wei(10n), gpuSecond: wei(1000n) });
  const limits = { timeoutMs: 5000, outputBytes: 0 };
  const usage = { wallMicros: 3_000_000, inputBytes: 0, outputBytes: 0, instructions: 0, gpuMicros: 3_000_000 };
  for (const plugin of ["ab".repeat(32), "AB".repeat(32)]) {
    assert.equal(maxTaskPrice(both, { limits, plugin }, 0), 50n);
    assert.equal(taskPrice(both, usage, { limits, plugin }), 30n);
  }
  // Any other name may mean a plugin with a GPU by the time that the task runs.
  for (const plugin of ["", "demo", "demo@1.0.0", "a".repeat(63), "a".repeat(65), `${"a".repeat(63)}g`]) {
    assert.equal(maxTaskPrice(both, { limits, plugin }, 0), 5050n, plugin);
    assert.equal(taskPrice(both, usage, { limits, plugin }), 3030n, plugin);
  }
});

test("limits that allow no GPU reserve nothing for one, and are never charged for it", () => {
  const both = rates({ cpuSecond: wei(10n), gpuSecond: wei(1000n) });
  const limits = { timeoutMs: 5000, outputBytes: 0 };
  const usage = { wallMicros: 3_000_000, inputBytes: 0, outputBytes: 0, instructions: 0, gpuMicros: 3_000_000 };
  for (const plugin of ["", "demo"]) {
    assert.equal(maxTaskPrice(both, { limits: { ...limits, noGpu: true }, plugin }, 0), 50n);
    assert.equal(taskPrice(both, usage, { limits: { ...limits, noGpu: true }, plugin }), 30n);
    assert.equal(maxTaskPrice(both, { limits: { ...limits, noGpu: false }, plugin }, 0), 5050n);
    assert.equal(taskPrice(both, usage, { limits: { ...limits, noGpu: false }, plugin }), 3030n);
  }
});

test("the minimum is the least that anything costs", () => {
  assert.equal(priceOf(rates({ minimum: wei(3n) }), {}), 3n);
  assert.equal(priceOf(rates({ minimum: wei(3n), gibRead: wei(4n) }), { readBytes: GIB }), 4n);
});

test("priceOf() refuses what is no safe integer, and what no voucher can carry", () => {
  for (const readBytes of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => priceOf(FREE_RATES, { readBytes }), { code: "invalid_argument" });
  }
  assert.throws(() => priceOf(FREE_RATES, { byteMs: -1n }), { code: "invalid_argument" });
  const dear = rates({ gibRead: wei(2n ** 128n - 1n) });
  assert.equal(priceOf(dear, { readBytes: GIB }), 2n ** 128n - 1n);
  assert.throws(() => priceOf(dear, { readBytes: GIB + 1 }), { code: "invalid_argument" });
});

test("maxTaskPrice() refuses a task whose price nothing bounds", () => {
  const unbounded = rates({ megaInstructions: wei(1n) });
  const limits = { timeoutMs: 1000, outputBytes: 10 };
  assert.throws(() => maxTaskPrice(unbounded, { limits }, 0), { code: "failed_precondition" });
  assert.equal(maxTaskPrice(unbounded, { limits: { ...limits, instructions: 5_000_000 } }, 0), 5n);
});

test("no task within its limits costs more than what was reserved for it", () => {
  const amount = fc.bigInt({ min: 0n, max: 10n ** 30n }).map(wei);
  fc.assert(fc.property(
    fc.record({
      gibWritten: amount,
      gibRead: amount,
      megaInstructions: amount,
      cpuSecond: amount,
      gpuSecond: amount,
      minimum: amount,
    }),
    fc.nat(86_400_000),
    fc.nat(2 ** 30),
    fc.nat(2 ** 30),
    fc.nat(),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (changes, timeoutMs, inputBytes, outputBytes, instructions, part) => {
      const all = rates(changes);
      const limits = { timeoutMs, outputBytes, instructions: instructions + 1 };
      const usage = {
        wallMicros: Math.floor(timeoutMs * 1500 * part),
        inputBytes,
        outputBytes: Math.floor(outputBytes * part),
        instructions: Math.floor(instructions * part),
        gpuMicros: Math.floor(timeoutMs * 2000 * part),
      };
      assert.ok(taskPrice(all, usage, { limits }) <= maxTaskPrice(all, { limits }, inputBytes));
    },
  ));
});
