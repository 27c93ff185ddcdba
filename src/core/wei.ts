import { NodeError } from "./errors.ts";

/** An amount of money in the smallest unit of its token: a non-negative bigint below 2^128, as vouchers carry it. */
export type Wei = bigint & { readonly __unit: "wei" };

const LIMIT = 1n << 128n;

/** Checks an amount. Throws `invalid_argument` when it is negative or does not fit a voucher. */
export function wei(amount: bigint): Wei {
  if (amount < 0n || amount >= LIMIT) {
    throw new NodeError("invalid_argument", `An amount must be from 0 to 2^128-1 wei, not ${amount}`);
  }
  return amount as Wei;
}

export const ZERO_WEI: Wei = wei(0n);
