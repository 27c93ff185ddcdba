import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { EXIT_CODES } from "../../src/cli/exit-codes.ts";
import { NodeError } from "../../src/core/mod.ts";
import type { ErrorCode } from "../../src/core/mod.ts";
import { PROBLEMS } from "../../src/rest/mod.ts";
import { problemHeaders, problemOf, withStatus } from "../../src/rest/problem.ts";
import { ProblemSchema } from "../../src/rest/problem-schema.ts";
import { CONNECT_CODES } from "../../src/rpc/errors.ts";
import { serve } from "./harness.ts";

const CODES = Object.keys(PROBLEMS) as ErrorCode[];

/** `Code.NotFound` as Connect writes it on the wire: `not_found`. */
function wireName(code: Code): string {
  return Code[code].replaceAll(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

test("docs/errors.md has every code with its status, Connect code, exit code and retry, and no other", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)`\s*\| (\d+)\s*\| `(\w+)`\s*\| (\d+)\s*\| (yes|no)\s*\|$/gm)];
  assert.deepEqual(
    rows.map(([, ...cells]) => cells),
    CODES.map((code) => [
      code,
      String(PROBLEMS[code].status),
      wireName(CONNECT_CODES[code]),
      String(EXIT_CODES[code]),
      new NodeError(code, "").retryable ? "yes" : "no",
    ]),
  );
});

test("docs/errors.md explains every code as the node's own page does", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8").replaceAll(/\s+/g, " ");
  for (const code of CODES) {
    const { title, explanation } = PROBLEMS[code];
    assert.ok(page.includes(`**\`${code}\`**: ${title}. ${explanation}`), code);
  }
});

test("every code becomes a problem with its status, type and message", async (t) => {
  const { url, tasks } = await serve(t);
  for (const code of CODES) {
    tasks.script.get = () =>
      Promise.reject(new NodeError(code, `What failed: ${code}`, { data: { n: 1, s: "x", b: true } }));
    const answer = await fetch(`${url}/v1/tasks/t1`, { headers: { "x-request-id": "trace-1" } });
    const problem = ProblemSchema.parse(await answer.json());
    assert.equal(answer.status, PROBLEMS[code].status);
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.deepEqual(problem, {
      type: `/v1/docs#error-${code}`,
      title: PROBLEMS[code].title,
      status: PROBLEMS[code].status,
      detail: `What failed: ${code}`,
      code,
      retryable: new NodeError(code, "").retryable,
      data: { n: 1, s: "x", b: true },
      requestId: "trace-1",
    });
  }
});

test("Retry-After is whole seconds, never 0, and only there when it is known", () => {
  const after = (retryAfterMs: number) =>
    problemHeaders(problemOf(new NodeError("overloaded", "", { retryAfterMs })))["Retry-After"];
  assert.deepEqual([0, 1, 999, 1000, 1001].map(after), ["1", "1", "1", "1", "2"]);
  assert.equal(problemHeaders(problemOf(new NodeError("overloaded", "")))["Retry-After"], undefined);
});

test("an exact status replaces the code's own in body and answer", () => {
  assert.equal(problemOf(withStatus(new NodeError("unimplemented", ""), 405)).status, 405);
  assert.equal(problemOf(new NodeError("unimplemented", "")).status, 501);
});

test("a foreign error is logged once with the request's name and tells the caller nothing", async (t) => {
  const { url, tasks, log } = await serve(t);
  for (const thrown of [new Error("password=hunter2"), "password=hunter2", { password: "hunter2" }, null, undefined]) {
    log.lines.length = 0;
    tasks.script.get = () => Promise.reject(thrown);
    const answer = await fetch(`${url}/v1/tasks/t1`, { headers: { "x-request-id": "trace-2" } });
    assert.equal(answer.status, 500);
    const body = await answer.text();
    assert.doesNotMatch(body, /hunter2/);
    assert.equal(JSON.parse(body).code, "internal");
    assert.equal(log.lines.length, 1);
    const { level, fields } = log.lines[0]!;
    assert.equal(level, "error");
    assert.deepEqual([fields?.["requestId"], fields?.["method"], fields?.["path"]], ["trace-2", "GET", "/v1/tasks/t1"]);
  }
});

test("a NodeError that is no fault of the node is not logged", async (t) => {
  const { url, log } = await serve(t);
  await (await fetch(`${url}/v1/tasks/missing-1`)).body?.cancel();
  assert.deepEqual(log.lines, []);
});
