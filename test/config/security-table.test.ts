import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { defaultConfig } from "../../src/config/mod.ts";
import { test } from "../testing.ts";

const page = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");

/** The code words of a cell in the table of listeners. */
function cell(listener: string): string[] {
  const row = page.split("\n").find((line) => line.startsWith(`| ${listener} `));
  assert.ok(row, `docs/security.md has no row for ${listener}`);
  return [...row.split("|")[2]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

test("the table of listeners in docs/security.md has the defaults of the configuration, all of them loopback", () => {
  const { rest, rpc } = defaultConfig("/home/x");
  assert.deepEqual(cell("REST and web page"), [rest.listen]);
  assert.deepEqual(cell("RPC"), [...rpc.listen]);
  for (const address of [rest.listen, ...rpc.listen]) assert.match(address, /^127\.0\.0\.1:\d+$/);
  assert.deepEqual([rest.token, rest.allowedOrigins, rpc.allowedOrigins, rpc.allow], [undefined, [], [], []]);
});
