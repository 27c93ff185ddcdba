/**
 * Money. A task touches it at three places only: both sides reserve the most it may cost before it runs, the provider
 * settles what was used, the requester commits to pay it; whatever is left is released.
 *
 * Two ledgers are free of charge. For pay, {@link Earnings} and {@link Spendings} keep a book for each channel: pure state machines
 * (`earning-account.ts`, `spending-account.ts`) decide, `books.ts` has their newest state written once a tick, and a voucher is on disk
 * before it is sent and before it counts. A voucher pays for more than one task, so that most tasks make no call of their own.
 * On the payee's side `price-list.ts` says what it wants now, and `earning-accounts.ts` keeps each channel as the chain has it.
 * On the payer's side `channel-finder.ts` finds or opens the channel of a target, `desk-calls.ts` gets quotes and sends vouchers on it, and
 * `spending-reservation.ts` sets money aside within `spending-caps.ts`.
 * `chain.ts` and `registry-log.ts` read the chain, `transactions.ts` sends transactions so that a crash or a dropped one does no harm, `channel-calls.ts` knows the
 * contracts. `claims.ts` claims, `admin.ts` does what the owner asks for. Nothing here loads viem or the WASM curve before payments are opened.
 */
export { Books } from "./books.ts";
export { Budget, type Caps } from "./budget.ts";
export { loadCurve } from "./curve.ts";
export { chargeDueWithoutChain } from "./due-charges.ts";
export { CustodyChallenger } from "./custody-challenger.ts";
export { CustodyHolder, type CustodyOrder } from "./custody-holder.ts";
export { CustodyKeeper } from "./custody-keeper.ts";
export { Earnings } from "./earnings.ts";
export { type FreeLedger, freeLedger, type FreeReservation } from "./free-ledger.ts";
export { openPayments, type Payments } from "./open-payments.ts";
export type { PaymentsOptions } from "./payments-options.ts";
export { isFree, storagePrice } from "./rates.ts";
export { RegistryLog, type RegistryLogOptions } from "./registry-log.ts";
export { Spendings } from "./spendings.ts";
export { Totals } from "./totals.ts";
