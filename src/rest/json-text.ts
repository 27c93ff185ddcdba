import { isUtf8 } from "node:buffer";
import { NodeError } from "../core/mod.ts";
import { bufferOf } from "./task-json.ts";
import { findJsonFault } from "./json-position.ts";

/** Decodes UTF-8 without replacing anything. Throws `invalid_argument` naming `what` when the bytes are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) {
    throw new NodeError("invalid_argument", `${what} is not valid UTF-8; send UTF-8 without a byte that breaks it`);
  }
  return bufferOf(bytes).toString("utf8");
}

/** Parses JSON. Throws `invalid_argument` that says where and what is wrong (data: `line`, `column`, `offset`). */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (text === "") {
      throw new NodeError("invalid_argument", "The body is empty; send a JSON object", { cause });
    }
    const fault = findJsonFault(text);
    if (fault === undefined) throw new NodeError("invalid_argument", "The body is not valid JSON", { cause });
    const { line, column, offset, expected } = fault;
    const found = offset >= text.length ? "the text ends" : `found ${JSON.stringify(characterAt(text, offset))}`;
    throw new NodeError(
      "invalid_argument",
      `The body is not valid JSON: at line ${line}, column ${column} ${found}, expected ${expected}`,
      { data: { line, column, offset }, cause },
    );
  }
}

function characterAt(text: string, offset: number): string {
  return String.fromCodePoint(text.codePointAt(offset)!);
}
