import assert from "node:assert/strict";
import * as shards from "../../src/rest/shards.ts";
import { test } from "../testing.ts";
import { serve, SHARDS } from "./harness.ts";

test("the operator sees what is kept for others, page by page", async (t) => {
  const { url } = await serve(t);
  const usage = shards.ShardUsage.parse(await (await fetch(`${url}/v1/shards/usage`)).json());
  assert.deepEqual(usage, { shards: 2, bytes: 3072, uploadBytes: 0, quotaBytes: 10_240, freeBytes: 7168 });
  const ids: string[] = [];
  let pageToken = "";
  do {
    const answer = await fetch(`${url}/v1/shards?pageSize=1&pageToken=${encodeURIComponent(pageToken)}`);
    const page = shards.ShardPage.parse(await answer.json());
    ids.push(...page.shards.map(({ id }) => id));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(ids, SHARDS.map(({ id }) => id));
  assert.equal((await fetch(`${url}/v1/shards?pageToken=x`)).status, 400);
  assert.equal((await fetch(`${url}/v1/shards?pageSize=0`)).status, 400);
});
