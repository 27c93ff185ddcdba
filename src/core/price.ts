import { NodeError } from "./errors.ts";
import type { NodeId } from "./ids.ts";
import { isModuleRef } from "./module.ts";
import type { TaskLimits } from "./task.ts";
import type { Usage } from "./usage.ts";
import { type Wei, wei, ZERO_WEI } from "./wei.ts";

/** The chain's own coin, where an ERC-20 has its address. */
export const NATIVE_TOKEN: NodeId = "0x0000000000000000000000000000000000000000";

/** What a provider wants, each in the smallest unit of the token. GiB are 2^30 bytes, hours 3,600 s. */
export interface Rates {
  /** The ERC-20 to pay in, or {@link NATIVE_TOKEN}. */
  readonly token: NodeId;
  /** For a GiB kept for an hour. */
  readonly gibHour: Wei;
  /** For a GiB that comes in: a shard that is put, a task's input. */
  readonly gibWritten: Wei;
  /** For a GiB that goes out: a shard that is read, a task's output. */
  readonly gibRead: Wei;
  /** For a million metered instructions. */
  readonly megaInstructions: Wei;
  /** For a second in the plugin: the most that instructions cost, and the price of what is not metered. 0 means no such bound. */
  readonly cpuSecond: Wei;
  readonly gpuSecond: Wei;
  /** For each task or storage operation, however small. */
  readonly minimum: Wei;
}

/** The names of the amounts in {@link Rates}, in the order in which they are signed. */
export const RATE_NAMES = [
  "gibHour",
  "gibWritten",
  "gibRead",
  "megaInstructions",
  "cpuSecond",
  "gpuSecond",
  "minimum",
] as const;

/** Free of charge. */
export const FREE_RATES: Rates = Object.freeze({
  token: NATIVE_TOKEN,
  gibHour: ZERO_WEI,
  gibWritten: ZERO_WEI,
  gibRead: ZERO_WEI,
  megaInstructions: ZERO_WEI,
  cpuSecond: ZERO_WEI,
  gpuSecond: ZERO_WEI,
  minimum: ZERO_WEI,
});

/** Quantities that a price multiplies: safe integers, absent ones 0. */
export interface Quantities {
  /** Bytes kept, times milliseconds. */
  readonly byteMs?: bigint;
  readonly writtenBytes?: number;
  readonly readBytes?: number;
  /** Metered instructions; 0 where nothing meters, so that the time counts. */
  readonly instructions?: number;
  readonly cpuMicros?: number;
  readonly gpuMicros?: number;
}

/** The least common multiple of what the terms are divided by: 2^30 × 3,600,000 and 1,000,000. */
const UNIT = (1n << 30n) * 18_000_000n;
const PER_GIB_HOUR = 5n;
const PER_GIB = 18_000_000n;
const PER_MILLION = 18n << 30n;
const MILLION = 1_000_000n;

/**
 * What quantities cost: the sum of all terms, rounded up once, and at least the minimum. Both sides of a deal call this one
 * function, so that they agree to the last wei. Throws `invalid_argument` for a quantity that is no safe integer, and for a
 * sum that no voucher can carry.
 */
export function priceOf(rates: Rates, quantities: Quantities): Wei {
  const { byteMs = 0n, writtenBytes, readBytes, instructions, cpuMicros, gpuMicros } = quantities;
  if (byteMs < 0n) throw new NodeError("invalid_argument", `byteMs must not be negative, as ${byteMs} is`);
  const metered = product(instructions, "instructions", rates.megaInstructions);
  const time = product(cpuMicros, "cpuMicros", rates.cpuSecond);
  const isCapped = rates.cpuSecond > 0n && time < metered;
  const work = (instructions ?? 0) === 0 || isCapped ? time : metered;
  const kept = byteMs === 0n ? 0n : byteMs * rates.gibHour;
  const moved = product(writtenBytes, "writtenBytes", rates.gibWritten) +
    product(readBytes, "readBytes", rates.gibRead);
  const worked = work + product(gpuMicros, "gpuMicros", rates.gpuSecond);
  // Most often only the work costs something, and in smaller numbers.
  const charge = kept === 0n && moved === 0n
    ? (worked + MILLION - 1n) / MILLION
    : (kept * PER_GIB_HOUR + moved * PER_GIB + worked * PER_MILLION + UNIT - 1n) / UNIT;
  return wei(charge > rates.minimum ? charge : rates.minimum);
}

/** What both sides know of a task before it runs, and what it costs depends on. */
export interface PricedTask {
  readonly limits: Pick<TaskLimits, "timeoutMs" | "outputBytes" | "instructions" | "noGpu">;
  /** As in TaskSpec; absent when it is not known. */
  readonly plugin?: string;
}

/**
 * Whether a GPU may work on a task, by nothing but what the task says, so that both sides say the same: a module that is named
 * by its SHA-256 has no way to one. A plain name may mean another plugin at the provider by the time that the task runs, so that
 * a provider refuses a plugin with a GPU where the limits say `noGpu`.
 */
function mayUseGpu(plugin: string, { noGpu = false }: Pick<TaskLimits, "noGpu">): boolean {
  return !noGpu && !isModuleRef(plugin);
}

/** What a task that ended well costs. Time beyond its limit is the provider's own, and no GPU works longer than its task runs. */
export function taskPrice(
  rates: Rates,
  usage: Usage,
  { limits, plugin = "" }: { readonly limits: Pick<TaskLimits, "timeoutMs" | "noGpu">; readonly plugin?: string },
): Wei {
  const cpuMicros = Math.min(usage.wallMicros, limits.timeoutMs * 1000);
  return priceOf(rates, {
    writtenBytes: usage.inputBytes,
    readBytes: usage.outputBytes,
    instructions: usage.instructions,
    cpuMicros,
    gpuMicros: mayUseGpu(plugin, limits) ? Math.min(usage.gpuMicros ?? 0, cpuMicros) : 0,
  });
}

/** The most that a task within these limits costs: what is reserved for it. Throws `failed_precondition` when nothing bounds it. */
export function maxTaskPrice(rates: Rates, { limits, plugin = "" }: PricedTask, inputBytes: number): Wei {
  const gpuMicros = rates.gpuSecond > 0n && mayUseGpu(plugin, limits) ? limits.timeoutMs * 1000 : 0;
  const bytes = { writtenBytes: inputBytes, readBytes: limits.outputBytes, gpuMicros };
  // Whether the plugin is metered is not known here. The second bounds both; without a price for it, unmetered work is free.
  if (rates.cpuSecond > 0n) return priceOf(rates, { ...bytes, instructions: 0, cpuMicros: limits.timeoutMs * 1000 });
  if (rates.megaInstructions === 0n) return priceOf(rates, bytes);
  if (limits.instructions === undefined || limits.instructions === 0) {
    throw new NodeError(
      "failed_precondition",
      "Nothing bounds what this task may cost: the provider has no price for a second, so give the task a limit of instructions",
    );
  }
  return priceOf(rates, { ...bytes, instructions: limits.instructions });
}

function product(value: number | undefined, name: string, rate: Wei): bigint {
  if (value === undefined) return 0n;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new NodeError("invalid_argument", `${name} must be a whole number from 0 to 2^53-1, not ${value}`);
  }
  return value === 0 || rate === 0n ? 0n : BigInt(value) * rate;
}
