/** Where a text stops being JSON. Line and column count from 1, the offset from 0; all in UTF-16 units. */
export interface JsonFault {
  readonly offset: number;
  readonly line: number;
  readonly column: number;
  /** What would have been right there, such as `a value`. */
  readonly expected: string;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
// deno-lint-ignore no-control-regex -- the grammar of JSON names them
const STRING_BODY = /[^"\\\u0000-\u001f]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SPACE = /[ \t\n\r]*/y;

/**
 * Finds the first fault of a text that is not JSON (RFC 8259); undefined when it is JSON. Engines word their messages
 * differently and often leave the position out, so this walks the grammar itself; it is only called after
 * `JSON.parse` has failed. It keeps its own stack, so that deep nesting cannot overflow the call stack.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  let at = 0;
  const open: string[] = [];

  function match(pattern: RegExp): boolean {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  }

  function string(): string | undefined {
    at++;
    for (;;) {
      match(STRING_BODY);
      if (text[at] === '"') {
        at++;
        return undefined;
      }
      if (at >= text.length) return 'the closing " of a string';
      if (text[at] !== "\\") return "an escaped control character";
      if (!match(ESCAPE)) return "a valid escape sequence";
    }
  }

  /** Reads a name and its colon. */
  function name(): string | undefined {
    match(SPACE);
    if (text[at] !== '"') return "a name in double quotes";
    const fault = string();
    if (fault !== undefined) return fault;
    match(SPACE);
    if (text[at] !== ":") return '":"';
    at++;
    return undefined;
  }

  function document(): string | undefined {
    for (;;) {
      match(SPACE);
      const start = text[at];
      if (start === "{" || start === "[") {
        at++;
        match(SPACE);
        const close = start === "{" ? "}" : "]";
        if (text[at] === close) {
          at++;
        } else {
          open.push(close);
          const fault = start === "{" ? name() : undefined;
          if (fault !== undefined) return fault;
          continue;
        }
      } else if (start === '"') {
        const fault = string();
        if (fault !== undefined) return fault;
      } else if (!match(LITERAL) && !match(NUMBER)) {
        return "a value";
      }
      // A value has ended: close what it was the last of, or go on to the next one.
      for (;;) {
        match(SPACE);
        const close = open.at(-1);
        if (close === undefined) return at === text.length ? undefined : "the end of the text";
        const next = text[at];
        if (next !== close && next !== ",") return `"," or "${close}"`;
        at++;
        if (next === close) {
          open.pop();
          continue;
        }
        const fault = close === "}" ? name() : undefined;
        if (fault !== undefined) return fault;
        break;
      }
    }
  }

  const expected = document();
  if (expected === undefined) return undefined;
  const before = text.slice(0, at);
  const lastBreak = before.lastIndexOf("\n");
  return { offset: at, line: before.split("\n").length, column: at - lastBreak, expected };
}
