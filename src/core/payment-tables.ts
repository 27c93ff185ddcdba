/*
 * What `/v1/payments` tells, as tables: the CLI makes them of a node's answers, and a node gives them as CSV. Nobody has to know JSON to open
 * the books in a spreadsheet.
 */

/** One line of a table, or an object that lines are made of. */
export type PaymentRow = Readonly<Record<string, unknown>>;

/** What an amount is in: columns of their own for programs, one for people. */
const TOKEN = ["token", "symbol", "decimals"] as const;

interface PaymentTable {
  readonly columns: readonly string[];
  /** The list at `/v1/payments/…` that it is made of. */
  readonly list: "channels" | "quotes" | "custody" | "totals" | "tokens";
  readonly rows: (items: readonly PaymentRow[]) => readonly PaymentRow[];
}

const same = (items: readonly PaymentRow[]) => items;

export const PAYMENT_TABLES = {
  channels: {
    list: "channels",
    columns: ["channelId", "role", "state", "peer", "deposit", "charged", "paid", "claimed", "items", ...TOKEN],
    rows: same,
  },
  vouchers: {
    list: "channels",
    columns: ["channelId", "role", "peer", "paid", "voucher", ...TOKEN],
    rows: (items) => items.filter(({ voucher }) => voucher !== undefined),
  },
  receipts: {
    list: "channels",
    columns: ["channelId", "sequence", "charged", "paid", "items", "issuedAt", "signature", ...TOKEN],
    rows: (items) =>
      items.flatMap(({ receipt, token }) => receipt === undefined ? [] : [{ ...receipt as PaymentRow, token }]),
  },
  quotes: {
    list: "quotes",
    columns: ["digest", "provider", "channelId", "gibHour", "minimum", "expiresAt", "keepUntil", ...TOKEN],
    rows: (items) => items.map(quoteRow),
  },
  custody: {
    list: "custody",
    columns: [
      "id",
      "role",
      "provider",
      "shard",
      "fileId",
      "expiresAt",
      "penalty",
      "lost",
      "released",
      "challenge",
      "answerBy",
    ],
    rows: (items) => items.map(custodyRow),
  },
  totals: {
    list: "totals",
    columns: ["day", "direction", "peer", "amount", "items", ...TOKEN],
    rows: same,
  },
  tokens: {
    list: "tokens",
    columns: TOKEN,
    rows: (items) => items.map(({ address, symbol, decimals }) => ({ token: address, symbol, decimals })),
  },
} as const satisfies Record<string, PaymentTable>;

export type PaymentTableName = keyof typeof PAYMENT_TABLES;

/** A statement on one line: how its challenge stands, and until when it may be answered. */
function custodyRow({ challenge, ...statement }: PaymentRow): PaymentRow {
  if (challenge === undefined) return statement;
  const { state, deadline } = challenge as PaymentRow;
  return { ...statement, challenge: state, ...(deadline !== undefined && { answerBy: deadline }) };
}

/** A quote on one line: the prices of what is kept. */
function quoteRow({ quote, digest, keepUntil }: PaymentRow): PaymentRow {
  const { rates, expiresAt, provider, channelId } = quote as PaymentRow & { rates: PaymentRow; expiresAt: number };
  const { token, gibHour, minimum } = rates;
  return {
    digest,
    provider,
    channelId,
    gibHour,
    minimum,
    expiresAt: new Date(expiresAt).toISOString(),
    keepUntil,
    token,
  };
}

/** What is known of a token, as `/v1/payments/tokens` tells it. */
export interface KnownToken {
  readonly address: string;
  readonly symbol?: string;
  readonly decimals?: number;
}

/** A table as CSV (RFC 4180, but for lines that end as everywhere on Unix): a line of names, then one for each row. */
export function paymentCsv(
  table: PaymentTableName,
  rows: readonly PaymentRow[],
  known: readonly KnownToken[],
): string {
  const { columns } = PAYMENT_TABLES[table];
  const lines = rows.map((row) => {
    const { symbol, decimals } = known.find(({ address }) => address === row["token"]) ?? {};
    const whole: PaymentRow = { symbol, decimals, ...row };
    return columns.map((column) => csvCell(whole[column])).join(",");
  });
  return [columns.join(","), ...lines].map((line) => `${line}\n`).join("");
}

/**
 * A value between commas; nothing for undefined. A text that a spreadsheet would run as a formula, as a stranger's token may have for its symbol,
 * gets an apostrophe in front, which spreadsheets take for "this is text" (OWASP, CSV Injection).
 */
export function csvCell(value: unknown): string {
  if (value === undefined) return "";
  const text = String(value);
  const isNumber = /^-?\d+(?:\.\d+)?$/.test(text);
  const harmless = /^\s*[=+\-@]|^[\t\r\n]/.test(text) && !isNumber ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
