import { type Clock, type Log, noMetrics, type ReceiptSigner, silentLog } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import {
  createTaskProvider,
  type Ledger,
  type PluginHost,
  type TaskProvider,
  type TaskSettings,
  type TaskStore,
} from "../../src/provider/mod.ts";

/** A clock that goes only when told to. */
export class FakeClock implements Clock {
  time = 1_700_000_000_000;

  now(): number {
    return this.time;
  }

  advance(ms: number): void {
    this.time += ms;
  }
}

/** A provider whose upkeep runs only when told to. */
export function testProvider(
  options: {
    readonly store: TaskStore;
    readonly host: PluginHost;
    readonly clock?: Clock;
    readonly ledger?: Ledger;
    readonly log?: Log;
    readonly receipts?: ReceiptSigner;
  } & Partial<TaskSettings>,
): TaskProvider {
  return createTaskProvider({
    ledger: freeLedger,
    clock: new FakeClock(),
    log: silentLog,
    metrics: noMetrics,
    sweepIntervalMs: 0,
    ...options,
  });
}
