import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { createLogger } from "../../src/cli/logger.ts";
import { createEventReader, type ServerEvent } from "../../src/cli/sse.ts";
import { progressBar } from "../../src/cli/task-view.ts";
import { formatTable, printable } from "../../src/cli/terminal.ts";
import { NodeError } from "../../src/core/mod.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The events of a stream that comes in pieces of the given sizes. */
function readAll(text: string, cuts: readonly number[] = []): ServerEvent[] {
  const bytes = utf8(text);
  const reader = createEventReader();
  const events: ServerEvent[] = [];
  let start = 0;
  for (const cut of [...cuts, bytes.length]) {
    const end = Math.min(bytes.length, start + cut);
    events.push(...reader.push(bytes.subarray(start, end)));
    start = end;
  }
  return events;
}

const STREAM =
  '\uFEFF: hi\r\nevent: state\rdata: {"a":\ndata:1}\nid: 7\n\nretry: 5\nretry: x\ndata\n\nid\nevent: lone\n\nunknown: y\ndata:  ü\n\ndata: cut';
const EVENTS = [
  { type: "state", data: '{"a":\n1}', lastEventId: "7" },
  { type: "message", data: "", lastEventId: "7" },
  { type: "message", data: " ü", lastEventId: "" },
];

test("an event stream is read as the standard says", () => {
  assert.deepEqual(readAll(STREAM), EVENTS);
});

test("an event stream is read the same in pieces of any size", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 80 }), (cuts) => {
    assert.deepEqual(readAll(STREAM, cuts), EVENTS);
  }));
  assert.deepEqual(readAll(STREAM, Array(200).fill(1)), EVENTS);
});

test("an event stream says when to come back, and a line without end is refused", () => {
  const reader = createEventReader();
  reader.push(utf8("retry: 250\n\n"));
  assert.equal(reader.retryMs, 250);
  assert.throws(() => reader.push(new Uint8Array((16 << 20) + 1).fill(0x61)), RangeError);
});

test("progressBar() stays within the screen and takes any fraction", () => {
  assert.equal(progressBar(0, "", 80), `[${"─".repeat(30)}]   0 %`);
  assert.equal(progressBar(1, "done", 80), `[${"█".repeat(30)}] 100 % done`);
  assert.equal(progressBar(0.5, "a\nb", 80), `[${"█".repeat(15)}${"─".repeat(15)}]  50 % a b`);
  for (const fraction of [-1, 2, NaN, Infinity]) assert.match(progressBar(fraction, "", 80), / (0|100) %$/);
  assert.ok(progressBar(0.5, "x".repeat(500), 60).length < 60);
});

test("printable() shows control characters instead of letting them through", () => {
  assert.equal(
    printable("a\tb\nc\x1b[31m\x00\x7f\x9b\u202e\u200f\u2028"),
    "a\tb\nc␛[31m␀\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
  );
  assert.equal(printable("grün 日本 🎉"), "grün 日本 🎉");
});

test("formatTable() measures without styles", () => {
  assert.deepEqual(formatTable([["\x1b[1ma\x1b[22m", "b"], ["ccc", "d"]]), ["\x1b[1ma\x1b[22m    b", "ccc  d"]);
});

function capture(format: "json" | "pretty", level: "debug" | "info" | "warn" | "error" | "silent" = "info") {
  const lines: string[] = [];
  const log = createLogger({ level, format, env: { NO_COLOR: "1" }, write: (line) => void lines.push(line) });
  return { log, lines, json: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test("the log writes a JSON object a line, with level, time, message, and the fields of its parents", () => {
  const { log, json } = capture("json");
  log.debug("not written");
  log.child({ node: "a" }).child({ requestId: "r" }).warn("Careful", { count: 1n, bytes: new Uint8Array(3), msg: "m" });
  const [line] = json();
  assert.match(String(line!["time"]), /^\d{4}-\d\d-\d\dT.*Z$/);
  delete line!["time"];
  assert.deepEqual(line, {
    level: "warn",
    node: "a",
    requestId: "r",
    count: "1",
    bytes: "3 bytes",
    msg_: "m",
    msg: "Careful",
  });
});

/** What strangers may put into names, messages and lines of plugins: forged lines, terminal sequences, turned text. */
const INJECTED = "x\r\n12:00:00 ERROR forged\t\x1b[2J\x9b31m\x7f\u0085\u200f\u202egpj.exe\u2066\u2028\u061cend";
// deno-lint-ignore no-control-regex
const HARMFUL = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

for (const format of ["json", "pretty"] as const) {
  test(`no text of strangers reaches the ${format} log as it is, and none begins a line`, () => {
    const { log, lines } = capture(format);
    log.info(INJECTED, { name: INJECTED, list: [INJECTED], data: { [INJECTED]: INJECTED } });
    log.child({ peer: INJECTED }).warn("Refused", { error: new NodeError("invalid_argument", INJECTED).message });
    assert.equal(lines.length, 2);
    for (const line of lines) {
      assert.equal(line.indexOf("\n"), line.length - 1, JSON.stringify(line));
      assert.doesNotMatch(line.slice(0, -1), HARMFUL);
    }
    if (format === "json") {
      const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.deepEqual(
        [first!["msg"], first!["name"], second!["peer"]],
        [INJECTED, INJECTED, INJECTED],
        "nothing is lost",
      );
    }
  });
}

test("each level writes itself and what is more serious", () => {
  const written = (level: Parameters<typeof capture>[1]): unknown[] => {
    const { log, json } = capture("json", level);
    log.debug("d");
    log.info("i");
    log.warn("w");
    log.error("e");
    return json().map(({ msg }) => msg);
  };
  assert.deepEqual(written("debug"), ["d", "i", "w", "e"]);
  assert.deepEqual(written("warn"), ["w", "e"]);
  assert.deepEqual(written("silent"), []);
});

test("the log keeps secrets out, at any depth and in children", () => {
  const { log, lines } = capture("json");
  const secret = "hunter2-hunter2";
  log.child({ authToken: secret }).info("x", {
    passphrase: secret,
    headers: { Authorization: secret, Cookie: [secret] },
    list: [{ privateKey: secret, secret_key: secret }],
  });
  assert.ok(!lines.join().includes("hunter2"));
  assert.ok(lines.join().includes("(secret)"));
});

test("the log shows an error with its code, data and causes, and survives cycles and giants", () => {
  const { log, json } = capture("json");
  const cause = new TypeError("inner");
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  log.error("Failed", {
    error: new NodeError("storage_failed", "Outer", { cause, data: { path: "/x" } }),
    cycle,
    text: "x".repeat(1e6),
  });
  const [line] = json() as [{ error: Record<string, unknown>; text: string }];
  assert.equal(line.error["code"], "storage_failed");
  assert.deepEqual(line.error["data"], { path: "/x" });
  assert.equal((line.error["cause"] as { message: string }).message, "inner");
  assert.ok(line.text.length < 10_000);
});

test("the pretty log is one readable line, with the stack of an error below it", () => {
  const { log, lines } = capture("pretty");
  log.info("Serving", { rest: "http://127.0.0.1:3000", tookMs: 1500, note: "\x1b[2J" });
  log.error("Failed", { error: new Error("boom") });
  assert.match(
    lines[0]!,
    /^\d\d:\d\d:\d\d INFO {2}Serving rest=http:\/\/127\.0\.0\.1:3000 tookMs=1500ms note=␛\[2J\n$/,
  );
  assert.match(lines[1]!, /^\d\d:\d\d:\d\d ERROR Failed error=boom\nError: boom\n {4}at /);
});
