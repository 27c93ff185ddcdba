/** Units that amounts of the chain's coin are shown and typed in. What is one coin is up to the chain; all have 18 digits. */
export const UNITS = { coins: 18, gwei: 9, wei: 0 } as const;
export type Unit = keyof typeof UNITS;

/** An ERC-20 as its contract tells of itself: its symbol is a stranger's text, which never stands without the address. */
export interface Token {
  readonly address: string;
  readonly symbol?: string;
  readonly decimals?: number;
}

/** How a channel or a price names the chain's own coin. */
export const COIN = "0x0000000000000000000000000000000000000000";

/** Whether amounts are in the chain's coin. */
export function isCoin(address: string | undefined): boolean {
  return address === undefined || address === COIN;
}

const DIGITS = 6;
const whole = new Intl.NumberFormat("en");

/** An amount in two parts: `1.25 USDC` or `1,250 units of`, and, of a token, `0x12ab…90ef`. */
export interface Figure {
  readonly text: string;
  readonly address?: string;
}

/** The parts of {@link money}, for where they are set apart. */
export function figure(amount: string | bigint, token?: Token): Figure {
  const value = BigInt(amount);
  if (value === 0n) return { text: "0" };
  if (token === undefined) {
    const unit: Unit = value >= 10n ** 14n ? "coins" : value >= 10n ** 7n ? "gwei" : "wei";
    const isOne = unit === "coins" && value === 10n ** 18n;
    return { text: `${decimal(value, UNITS[unit])} ${isOne ? "coin" : unit}` };
  }
  const { symbol = "", decimals } = token;
  const address = shortAddress(token.address);
  // So little of it that six digits would hide most of what there is.
  const isDust = decimals !== undefined && decimals > DIGITS && value < 10n ** BigInt(decimals - 4);
  const isWhole = decimals !== undefined && !isDust;
  const number = isWhole ? decimal(value, decimals) : `${whole.format(value)} ${value === 1n ? "unit" : "units"}`;
  return { text: isWhole && symbol !== "" ? `${number} ${symbol}` : `${number} of ${symbol}`.trimEnd(), address };
}

/**
 * `1.25 coins`, `340 gwei`, `12 wei`, with at most six digits behind the point; a rest that is cut off shows as `≈`. Of a token:
 * `1.25 USDC (0x12ab…90ef)`, and `1,250 units of 0x12ab…90ef` while nothing tells how many digits are behind the point.
 */
export function money(amount: string | bigint, token?: Token): string {
  const { text, address } = figure(amount, token);
  if (address === undefined) return text;
  return text.endsWith(" of") ? `${text} ${address}` : `${text} (${address})`;
}

/** An amount to the last digit. */
export function exactMoney(amount: string | bigint, token?: Token): string {
  if (token === undefined) return `${amount} wei`;
  const { address, symbol } = token;
  return `${amount} of the smallest unit of ${symbol === undefined ? address : `${symbol} (${address})`}`;
}

/** A unit to type amounts in, and how many digits it has behind the point. */
export interface TypedUnit {
  readonly name: string;
  readonly digits: number;
}

/** The units to type amounts in, the likeliest first: of a token that does not tell its decimals, the smallest only. */
export function unitsOf(token: Token | undefined): readonly [TypedUnit, ...TypedUnit[]] {
  if (token === undefined) {
    return [{ name: "coins", digits: UNITS.coins }, { name: "gwei", digits: UNITS.gwei }, { name: "wei", digits: 0 }];
  }
  const { symbol = "whole tokens", decimals = 0 } = token;
  const smallest = { name: "smallest unit", digits: 0 };
  return decimals === 0 ? [smallest] : [{ name: symbol, digits: decimals }, smallest];
}

/** What somebody typed in a unit with so many digits behind the point, in the smallest one; undefined when it is no amount, or finer. */
export function parseMoney(text: string, digits: number): bigint | undefined {
  const match = /^\s*(\d{1,38})(?:\.(\d{1,36}))?\s*$/.exec(text);
  const fraction = match?.[2] ?? "";
  if (match === null || fraction.length > digits) return undefined;
  const amount = BigInt(match[1]!) * 10n ** BigInt(digits) + BigInt(fraction.padEnd(digits, "0") || "0");
  return amount < MOST ? amount : undefined;
}

/** The node takes amounts of 38 digits. */
const MOST = 10n ** 38n;

/** `coins`, `USDC (0x12ab…90ef)`, or the short address alone. */
export function nameOf(token: Token | undefined): string {
  if (token === undefined) return "coins";
  const address = shortAddress(token.address);
  return token.symbol === undefined ? address : `${token.symbol} (${address})`;
}

/** A sum in one token, by its address. */
export interface Sum {
  readonly token: string;
  readonly amount: bigint;
}

/** Sums of amounts, each token on its own, the chain's coin first; those that are 0 are left out. */
export function sumsOf(amounts: readonly { readonly token?: string; readonly amount: string | bigint }[]): Sum[] {
  const sums = new Map([[COIN, 0n]]);
  for (const { token = COIN, amount } of amounts) sums.set(token, (sums.get(token) ?? 0n) + BigInt(amount));
  return [...sums].map(([token, amount]) => ({ token, amount })).filter(({ amount }) => amount !== 0n);
}

/** `0x7099…79c8` */
export function shortAddress(address: string): string {
  return address.length > 14 ? `${address.slice(0, 6)}…${address.slice(-4)}` : address;
}

function decimal(value: bigint, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const rest = digits === 0 ? "" : String(value % scale).padStart(digits, "0");
  const kept = rest.slice(0, DIGITS).replace(/0+$/, "");
  const cut = /[1-9]/.test(rest.slice(DIGITS));
  return `${cut ? "≈ " : ""}${whole.format(value / scale)}${kept === "" ? "" : `.${kept}`}`;
}
