import type { NodeId } from "./ids.ts";

/**
 * An ERC-20 as its contract tells of itself. Nothing of it is to be believed: anybody may deploy a token that calls itself ETH, so that no symbol is
 * ever shown without the address.
 */
export interface TokenInfo {
  readonly address: NodeId;
  /** 1 to {@link MAX_SYMBOL} characters as {@link isSymbol} allows; absent where the contract tells none, or another kind of text. */
  readonly symbol?: string;
  /** How many digits of an amount are behind the point, 0 to {@link MAX_DECIMALS}; absent where the contract does not tell. */
  readonly decimals?: number;
}

export const MAX_SYMBOL = 16;
export const MAX_DECIMALS = 36;

/**
 * Whether a text may be shown as the symbol of a token: Latin letters, digits, signs of currencies and `. + _ / * -`, and not digits alone. That
 * leaves out whatever breaks a line, turns the direction of writing, has no width, or could pass for an amount or an address beside it.
 */
export function isSymbol(text: string): boolean {
  return SYMBOL.test(text);
}

const LETTER = "\\p{Script=Latin}$£¥\\u20a0-\\u20cf";
const SYMBOL = new RegExp(`^(?=.*[${LETTER}])[${LETTER}0-9.+_/*-]{1,${MAX_SYMBOL}}$`, "u");
