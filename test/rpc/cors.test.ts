import assert from "node:assert/strict";
import { join } from "node:path";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const PAGE = "https://ui.example";

test("pages of listed origins may call the RPC port, and others get no leave", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config: { rpc: { allowedOrigins: [PAGE] } } });
  const url = `http://${node.rpc}/velas.sphere.v1.TaskService/Run`;
  const preflight = (origin: string) =>
    fetch(url, { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "POST" } });
  const allowed = await preflight(PAGE);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), PAGE);
  assert.match(allowed.headers.get("access-control-allow-headers")!, /Connect-Protocol-Version/);
  const refused = await preflight("https://evil.example");
  await refused.text();
  assert.equal(refused.headers.get("access-control-allow-origin"), null);

  const run = (path: string, body: unknown) =>
    fetch(`http://${node.rpc}/velas.sphere.v1.${path}`, {
      method: "POST",
      headers: { Origin: PAGE, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  const task = await run("TaskService/Run", { task: { input: btoa("hello") } });
  assert.equal(task.status, 200, await task.clone().text());
  assert.equal(task.headers.get("access-control-allow-origin"), PAGE);
  assert.equal(atob((await task.json() as { output: string }).output), "world");
  const files = await run("FileService/List", {});
  assert.equal(files.status, 403, "the owner's files are for no page");
  await files.text();
});
