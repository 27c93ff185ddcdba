import { type Log, toNodeError, type Usage } from "../core/mod.ts";
import type { Reservation } from "./ports.ts";

/**
 * Charges a reservation, or releases it when there is no usage. A ledger that fails is a fault of the node, not of the task:
 * it is logged, and the result leaves all the same. Returns a promise only when the ledger does.
 */
export function settle(
  reservation: Reservation,
  { usage, log }: { readonly usage: Usage | undefined; readonly log: Log },
): void | Promise<void> {
  const failed = (error: unknown) => log.error("A task could not be charged", { error: toNodeError(error).message });
  try {
    if (usage === undefined) return reservation.release();
    const settled = reservation.settle(usage);
    if (settled !== undefined) return settled.catch(failed);
  } catch (error) {
    failed(error);
  }
}
