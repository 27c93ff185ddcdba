import { FREE_RATES, priceOf, type Rates, type Wei } from "../core/mod.ts";

/** What a storage operation costs: both sides of a deal call this. */
export function storagePrice(
  rates: Rates,
  { action, bytes, durationMs }: {
    readonly action: "put" | "get" | "renew";
    readonly bytes: number;
    readonly durationMs: number;
  },
): Wei {
  const byteMs = action === "get" ? 0n : BigInt(bytes) * BigInt(Math.round(durationMs));
  return priceOf(rates, {
    byteMs,
    ...(action === "put" && { writtenBytes: bytes }),
    ...(action === "get" && { readBytes: bytes }),
  });
}

/** Whether nothing costs anything. */
export function isFree(rates: Rates): boolean {
  return (Object.keys(FREE_RATES) as (keyof Rates)[]).every((name) => name === "token" || rates[name] === 0n);
}
