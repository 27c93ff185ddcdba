import assert from "node:assert/strict";
import { serve } from "../rest/harness.ts";
import { test } from "../testing.ts";
import { runHere } from "./harness.ts";

test("shards usage and list", async (t) => {
  const { url } = await serve(t);
  const run = (...args: string[]) => runHere(["shards", ...args, "--url", url]);
  assert.match((await run("usage")).stdout, /shards +2\nbytes +3\.0 KiB\n[^]*free +7\.0 KiB\n/);
  assert.equal(JSON.parse((await run("usage", "--json")).stdout).freeBytes, 7168);
  assert.match((await run("list")).stdout, /^ID[^]*a{32} [^]*b{32} [^]*Z\n$/);
  assert.match((await run("list", "--limit", "1")).stderr, /--page-token/);
  assert.equal(JSON.parse((await run("list", "--all", "--json")).stdout).shards.length, 2);
});
