import type { Clock, Log, Metrics, NodeId, NodeKey, PaymentDesk, PaymentStore, Rates, Wei } from "../core/mod.ts";
import type { Caps } from "./budget.ts";
import type { ChainOptions } from "./chain.ts";
import type { CreditRule, EarningsOptions } from "./earnings.ts";

/** What payments are opened with. */
export interface PaymentsOptions extends Omit<ChainOptions, "clock" | "log"> {
  readonly key: NodeKey;
  readonly store: PaymentStore;
  readonly rates: Rates;
  readonly credit: CreditRule;
  readonly caps: Caps;
  readonly window: Wei;
  /** The deposit of channels that are opened when needed; 0 opens none. */
  readonly deposit: Wei;
  /** The exit delay of channels that this node opens, and the least of those that it takes, in seconds. */
  readonly exitDelay: number;
  readonly offerMs: number;
  readonly limits: EarningsOptions["limits"];
  /** The version of the cost table that this node counts instructions by. */
  readonly costTable: number;
  /** In a token other than the chain's coin, what is claimed at once when this much is unclaimed. */
  readonly claimAt: Wei;
  readonly claimEveryMs: number;
  /** Stake on shards, where the Audit contract is known: what this node puts on one, and the least that it asks of others; 0 is none. */
  readonly custody?: {
    readonly audit: NodeId;
    readonly penalty: Wei;
    readonly least: Wei;
    /** Whether providers that lost shards are challenged without being told to. */
    readonly challenges?: boolean;
  };
  readonly retryMs?: number;
  /** After how long a transaction that is not mined is sent again with higher fees. */
  readonly bumpMs?: number;
  readonly desk: (target: string) => PaymentDesk;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
}
