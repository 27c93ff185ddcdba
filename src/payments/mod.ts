/**
 * Money. A task touches it at three places only: both sides reserve the most it may cost before it runs, the provider
 * settles what was used, the requester commits to pay it; whatever is left is released. So far there is one ledger, which
 * is free of charge.
 */
export { type FreeLedger, freeLedger, type FreeReservation } from "./free-ledger.ts";
