import { type NodeKey, noMetrics, type Settlement } from "../core/mod.ts";
import { AuditCalls } from "./audit-calls.ts";
import type { Chain } from "./chain.ts";
import type { Curve } from "./curve.ts";
import { CustodyBook } from "./custody-book.ts";
import { CustodyChallenger } from "./custody-challenger.ts";
import { CustodyHolder } from "./custody-holder.ts";
import { CustodyKeeper } from "./custody-keeper.ts";
import type { PaymentsOptions } from "./payments-options.ts";
import type { Transactions } from "./transactions.ts";

/** What custody of shards is done with. */
export interface CustodyParts {
  readonly book: CustodyBook;
  readonly calls: AuditCalls;
  readonly holder: CustodyHolder;
  readonly keeper: CustodyKeeper | undefined;
  readonly challenger: CustodyChallenger | undefined;
}

/** How often at most it is looked how challenges stand: they take a day. */
const CHALLENGES_EVERY_MS = 600_000;

/** Both sides of custody; undefined where no Audit contract is known. */
export function openCustody(
  { custody, store, clock, log, confirmations, pollMs, claimEveryMs, metrics = noMetrics }: PaymentsOptions,
  parts: {
    readonly key: NodeKey;
    readonly settlement: Settlement;
    readonly curve: Curve;
    readonly chain: Chain;
    readonly transactions: Transactions;
  },
): CustodyParts | undefined {
  if (custody === undefined) return undefined;
  const { audit, penalty, least, challenges = false } = custody;
  const site = { chainId: parts.settlement.chainId, audit };
  const book = new CustodyBook({ store, clock });
  const calls = new AuditCalls({ ...parts, audit });
  const shared = { ...parts, site, book, calls, store, clock, log, confirmations };
  const holder = new CustodyHolder({ ...shared, least });
  const everyMs = Math.min(CHALLENGES_EVERY_MS, claimEveryMs);
  return {
    book,
    calls,
    holder,
    challenger: challenges ? new CustodyChallenger({ ...shared, holder, metrics, everyMs }) : undefined,
    keeper: penalty === 0n ? undefined : new CustodyKeeper({ ...shared, penalty, watchMs: pollMs }),
  };
}
