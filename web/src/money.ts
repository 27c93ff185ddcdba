/** Units that amounts are shown and typed in. What is one coin is up to the chain; all have 18 digits. */
export const UNITS = { coins: 18, gwei: 9, wei: 0 } as const;
export type Unit = keyof typeof UNITS;

/** How a channel or a price names the chain's own coin. */
const COIN = "0x0000000000000000000000000000000000000000";

/** Whether amounts are in the chain's coin; those of another token are in its smallest unit, whose digits this page does not know. */
export function isCoin(token: string | undefined): boolean {
  return token === undefined || token === COIN;
}

const DIGITS = 6;
const whole = new Intl.NumberFormat("en");

/** `1.25 coins`, `340 gwei`, `12 wei`, with at most six digits behind the point; a rest that is cut off shows as `≈`. Of a token: `1,250 units of 0x12ab…90ef`. */
export function money(amount: string | bigint, token?: string): string {
  const value = BigInt(amount);
  if (value === 0n) return "0";
  if (!isCoin(token)) return `${whole.format(value)} units of ${token!.slice(0, 6)}…${token!.slice(-4)}`;
  const unit: Unit = value >= 10n ** 14n ? "coins" : value >= 10n ** 7n ? "gwei" : "wei";
  const scale = 10n ** BigInt(UNITS[unit]);
  const rest = String(value % scale).padStart(UNITS[unit], "0").slice(0, UNITS[unit]);
  const kept = rest.slice(0, DIGITS).replace(/0+$/, "");
  const cut = /[1-9]/.test(rest.slice(DIGITS));
  const name = unit === "coins" && value === scale ? "coin" : unit;
  return `${cut ? "≈ " : ""}${whole.format(value / scale)}${kept === "" ? "" : `.${kept}`} ${name}`;
}

/** An amount to the last digit. */
export function exactMoney(amount: string | bigint, token?: string): string {
  return isCoin(token) ? `${amount} wei` : `${amount} of the smallest unit of ${token}`;
}

/** What somebody typed, in wei; undefined when it is no amount, or finer than a wei. */
export function parseMoney(text: string, unit: Unit): bigint | undefined {
  const match = /^\s*(\d{1,20})(?:\.(\d{1,18}))?\s*$/.exec(text);
  const fraction = match?.[2] ?? "";
  if (match === null || fraction.length > UNITS[unit]) return undefined;
  return BigInt(match[1]!) * 10n ** BigInt(UNITS[unit]) + BigInt(fraction.padEnd(UNITS[unit], "0") || "0");
}
