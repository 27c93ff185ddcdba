import { NodeError } from "../core/mod.ts";
import { parseJson } from "./json-text.ts";

/**
 * Reads string fields from a JSON object the way Go's `encoding/json` fills a struct, which is how the original node read
 * its requests: names match in any case, unknown ones are skipped, the last duplicate wins, and `null` leaves a field
 * as it was. A top-level `null` is an empty object. Fields that are not there are empty.
 *
 * @param fields the names, in lower case
 * @throws `invalid_argument` for text that is not JSON, another top-level type, or a field that is no string
 */
export function readGoStrings<F extends string>(text: string, fields: readonly F[]): Record<F, string> {
  const result = Object.fromEntries(fields.map((field) => [field, ""])) as Record<F, string>;
  const whole = parseJson(text);
  if (whole === null) return result;
  if (typeof whole !== "object" || Array.isArray(whole)) {
    throw new NodeError("invalid_argument", `The body must be a JSON object, not ${typeName(whole)}`);
  }
  forEachMember(text, (name, start, end) => {
    const field = fieldNamed(name, fields);
    if (field === undefined) return;
    const value = plainString(text, start, end) ?? JSON.parse(text.slice(start, end)) as unknown;
    if (value === null) return;
    if (typeof value !== "string") {
      throw new NodeError("invalid_argument", `"${field}" must be a string, not ${typeName(value)}`, {
        data: { field },
      });
    }
    result[field] = value.toWellFormed();
  });
  return result;
}

/**
 * Writes a string as Go's `encoding/json` did: besides what JSON demands it escapes `<`, `>`, `&`, U+2028 and U+2029, and
 * has no short form for backspace and form feed.
 */
export function goString(value: string): string {
  const json = JSON.stringify(value.toWellFormed());
  return GO_ESCAPED.test(json) ? json.replace(GO_ESCAPES, goEscape) : json;
}

const GO_ESCAPED = /[<>&\u2028\u2029]|\\[bf]/;
// An escaped backslash is matched whole, so that the "b" after it is not taken for an escape.
const GO_ESCAPES = /\\\\|[<>&\u2028\u2029]|\\[bf]/g;

function goEscape(match: string): string {
  if (match === "\\\\") return match;
  const code = match === "\\b" ? 8 : match === "\\f" ? 12 : match.charCodeAt(0);
  return `\\u${code.toString(16).padStart(4, "0")}`;
}

function fieldNamed<F extends string>(name: string, fields: readonly F[]): F | undefined {
  if (fields.includes(name as F)) return name as F;
  // Go folds by Unicode: the Kelvin sign matches "k", and the long s matches "s", which toLowerCase() alone leaves as it is.
  const folded = name.toLowerCase().replaceAll("ſ", "s");
  return fields.find((field) => field === folded);
}

/** The string that stands between two offsets of a valid JSON text, when it has no escapes; else undefined. */
function plainString(text: string, start: number, end: number): string | undefined {
  const value = text.slice(start, end).trim();
  return value.startsWith('"') && !value.includes("\\") ? value.slice(1, -1) : undefined;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/**
 * Visits the members of the object that a valid JSON text holds, duplicates included, with the place of each value.
 * `JSON.parse` alone cannot tell in which order `id` and `ID` came.
 */
function forEachMember(text: string, visit: (name: string, start: number, end: number) => void): void {
  let at = text.indexOf("{") + 1;
  for (;;) {
    at = text.indexOf('"', at);
    if (at === -1) return;
    const nameEnd = endOfString(text, at);
    const name = plainString(text, at, nameEnd) ?? JSON.parse(text.slice(at, nameEnd)) as string;
    const start = text.indexOf(":", nameEnd) + 1;
    const end = endOfValue(text, start);
    visit(name, start, end);
    at = end;
  }
}

/** The offset after the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start;
  for (;;) {
    at = text.indexOf('"', at + 1);
    let backslashes = 0;
    while (text[at - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
}

/** The offset of the comma or bracket that ends the value at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start;; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at) - 1;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") {
      if (depth === 0) return at;
      depth--;
    } else if (character === "," && depth === 0) return at;
  }
}
