import type { Offer } from "./deal.ts";
import { NodeError } from "./errors.ts";
import type { Rates } from "./price.ts";

/** What instructions were counted by before offers named it, and are where one names none. */
export const FIRST_COST_TABLE = 1;

/** The version of the cost table that an offer's instructions are counted by. */
export function costTableOf({ costTable }: Pick<Offer, "costTable">): number {
  return costTable ?? FIRST_COST_TABLE;
}

/** What an offer says of the cost table: its version when instructions cost something, and else nothing, since it decides no price. */
export function namedCostTable({ megaInstructions }: Rates, costTable: number): Pick<Offer, "costTable"> {
  return megaInstructions === 0n ? {} : { costTable };
}

/** Whether prices are none that a node can reckon with: instructions cost something, and are counted by another table than its own. */
export function countsOtherwise(offer: Pick<Offer, "rates" | "costTable">, costTable: number): boolean {
  return offer.rates.megaInstructions > 0n && costTableOf(offer) !== costTable;
}

/** The error of two nodes that count instructions by different cost tables. The versions are the provider's and the requester's. */
export function otherCostTable(
  who: string,
  { provider, requester }: { readonly provider: number; readonly requester: number },
): NodeError {
  const behind = provider > requester ? "requester" : "provider";
  return new NodeError(
    "failed_precondition",
    `${who} counts instructions by version ${provider} of the cost table, and the requester by version ${requester}: update the ${behind}, or use a provider that counts by the same one`,
    { data: { providerCostTable: provider, requesterCostTable: requester } },
  );
}
