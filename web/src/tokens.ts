import { effect, signal } from "@preact/signals";
import { getJson } from "./api.ts";
import { features } from "./features.ts";
import { epoch } from "./live.ts";
import { isCoin, money } from "./money.ts";
import type { Sum, Token } from "./money.ts";

/** The chain that the node's money is on; undefined while that is not known, and for a node without money. */
export const chainId = signal<number | undefined>(undefined);

const known = signal<ReadonlyMap<string, Token>>(new Map());

effect(() => {
  if (epoch.value > 0 && features.value.has("payments")) void lookAtTokens();
});

/** Asks the node again which tokens it deals in. Until that is known, and when it fails, amounts are in their smallest unit. */
export async function lookAtTokens(): Promise<void> {
  try {
    const list = await getJson<{ chainId: number; tokens: readonly Token[] }>("v1/payments/tokens");
    chainId.value = list.chainId;
    list.tokens.forEach(learn);
  } catch {
    // Whatever shows amounts shows this failure too.
  }
}

/** Asks the node for a token that it does not deal in, such as one of a stranger's offer. */
export async function lookUp(address: string): Promise<void> {
  if (isCoin(address) || known.peek().get(address)?.decimals !== undefined) return;
  await getJson<Token>(`v1/payments/tokens/${address}`).then(learn, () => {});
}

export function learn(token: Token): void {
  known.value = new Map(known.peek()).set(token.address, token);
}

/** What is known of the token at an address of the node's chain; undefined for the chain's coin. */
export function tokenOf(address: string | undefined): Token | undefined {
  if (address === undefined || isCoin(address)) return undefined;
  return known.value.get(address) ?? { address };
}

/** A sum in its own unit, for a sentence. */
export function sumText({ token, amount }: Sum): string {
  return money(amount, tokenOf(token));
}

/** What is known of the token of an offer, which may be on another chain, where the same address is another token. */
export function tokenOfOffer(offer: OfferPlace | undefined): Token | undefined {
  const address = offer?.rates["token"];
  if (address === undefined || isCoin(address)) return undefined;
  return offer?.chainId === chainId.value ? tokenOf(address) : { address };
}

interface OfferPlace {
  readonly chainId: number;
  readonly rates: Readonly<Record<string, string>>;
}
