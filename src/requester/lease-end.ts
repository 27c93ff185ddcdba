import type { Clock } from "../core/mod.ts";

/**
 * When a lease that was granted just now ends, by this node's steady clock. The provider tells its end by a clock of its own: of this node's two the
 * one by which the lease lasts longer is believed, up to what was asked for, since a provider grants that or nothing.
 */
export function leaseEnd(
  expiresAt: number,
  { clock, steady, leaseMs }: { readonly clock: Clock; readonly steady: Clock; readonly leaseMs: number },
): number {
  const now = steady.now();
  const left = Math.max(expiresAt - clock.now(), expiresAt - now, 0);
  return now + Math.min(left, leaseMs);
}
