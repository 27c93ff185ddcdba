import { isSymbol, NATIVE_TOKEN } from "../core/mod.ts";
import { printable } from "./terminal.ts";

/** A token as `/v1/payments/tokens` shows it. */
export interface TokenJson {
  readonly address: string;
  readonly symbol?: string;
  readonly decimals?: number;
}

/** Whether amounts are in the chain's coin, as those are that name no token. */
export function isCoin(token: unknown): boolean {
  return token === undefined || token === NATIVE_TOKEN;
}

/** `coin`, `USDC (0x1234…5678)`, or the address alone. The symbol is a stranger's text, so that it never stands without the address. */
export function tokenName(token: string | undefined, info?: TokenJson): string {
  if (token === undefined || isCoin(token)) return "coin";
  const short = printable(token.length > 14 ? `${token.slice(0, 6)}…${token.slice(-4)}` : token);
  const { symbol } = info ?? {};
  return symbol !== undefined && isSymbol(symbol) ? `${symbol} (${short})` : short;
}
