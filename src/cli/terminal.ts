import type { Writable } from "node:stream";

/** Colours of one stream: functions that wrap a text in an ANSI style, or return it as it is. */
export interface Colors {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

/** A stream to write to, and what it can show. */
export interface Screen {
  readonly isTerminal: boolean;
  readonly colors: Colors;
  readonly columns: number;
  /** Writes the text as it is. */
  write(text: string): void;
  /** Writes the text and a newline. */
  line(text?: string): void;
  /** The stream itself, for bytes. */
  readonly stream: Writable;
}

type TerminalStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/**
 * Wraps a stream. Styles only on a terminal; `NO_COLOR` (no-color.org) and `TERM=dumb` switch them off, `FORCE_COLOR` on.
 */
export function createScreen(stream: TerminalStream, env: Readonly<Record<string, string | undefined>>): Screen {
  const isTerminal = stream.isTTY === true;
  const styled = hasColors(isTerminal, env);
  const style = (open: number, close: number) => (text: string) =>
    styled && text !== "" ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    isTerminal,
    columns: stream.columns ?? 80,
    colors: {
      bold: style(1, 22),
      dim: style(2, 22),
      red: style(31, 39),
      green: style(32, 39),
      yellow: style(33, 39),
      cyan: style(36, 39),
    },
    write: (text) => void stream.write(text),
    line: (text = "") => void stream.write(`${text}\n`),
    stream,
  };
}

/** Whether to style what goes to a stream. */
export function hasColors(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  if (env["NO_COLOR"]) return false;
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return isTerminal && env["TERM"] !== "dumb";
}

/** Rows with columns of equal width, two spaces apart; the last column is not padded. `width` measures without styles. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, visibleWidth(cell)));
  return rows.map((row) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell + " ".repeat(widths[i]! - visibleWidth(cell) + 2)).join("")
      .trimEnd()
  );
}

/**
 * A text from a plugin or another node without the control characters that could take a terminal over: ESC and its kin become
 * visible (`\x1b` as `␛`), tabs and newlines stay.
 */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x20 ? String.fromCodePoint(0x2400 + code) : "\uFFFD";
  });
}

// deno-lint-ignore no-control-regex
const STYLE = /\x1b\[\d+m/g;

function visibleWidth(text: string): number {
  return [...text.replace(STYLE, "")].length;
}
