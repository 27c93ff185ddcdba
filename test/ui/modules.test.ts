import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { get, scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

/** The demo plugin with a section more, so with a hash that no node has installed. */
function ownModule(folder: string): { readonly file: string; readonly sha256: string } {
  const name = "mine";
  const section = Buffer.from([0, name.length + 1, name.length, ...Buffer.from(name)]);
  const bytes = Buffer.concat([readFileSync("wasm-plugins/demo/demo.wasm"), section]);
  const file = join(folder, "mine.wasm");
  writeFileSync(file, bytes);
  return { file, sha256: createHash("sha256").update(bytes).digest("hex") };
}

test("a module of one's own is chosen, runs at a provider that takes such, and is left for a plugin again", async (t) => {
  const folder = scratch(t);
  const [requester, willing, unwilling] = await Promise.all([
    startNode(t, { dataDir: join(folder, "requester") }),
    startNode(t, { dataDir: join(folder, "willing"), config: { plugins: { acceptModules: true } } }),
    startNode(t, { dataDir: join(folder, "unwilling") }),
  ]);
  const { file, sha256 } = ownModule(folder);
  const bad = join(folder, "bad.wasm");
  writeFileSync(bad, "no module");
  const { page } = await openPage(t, `${requester.rest}/#/tasks`, { mayFail: /Failed to load resource/ });
  const form = page.locator(".playground form");
  const pick = async (path: string, label: string) => {
    const choosing = page.waitForEvent("filechooser");
    await form.getByRole("button", { name: label }).click();
    await (await choosing).setFiles(path);
  };
  const run = () => form.getByRole("button", { name: "Run", exact: true }).click();

  await pick(bad, "bring a module");
  await form.getByRole("alert").filter({ hasText: "module_invalid" }).waitFor();
  await form.getByLabel("Plugin").waitFor();
  await pick(file, "bring a module");
  await form.getByText("mine.wasm").waitFor();
  assert.equal(await form.getByRole("alert").count(), 0);
  await form.getByText(sha256.slice(0, 12)).waitFor();
  await form.getByLabel("Plugin").waitFor({ state: "detached" });
  await form.getByLabel("Function").selectOption("wordcount");
  await form.getByLabel("Input", { exact: true }).fill("to be or not to be");

  await form.getByLabel("Provider").fill(unwilling.rpc);
  await form.getByLabel("Provider").press("Tab");
  await form.getByRole("status").filter({ hasText: `${unwilling.rpc} takes no modules of others` }).waitFor();
  await run();
  await form.getByRole("alert").filter({ hasText: "permission_denied" }).waitFor();

  await form.getByLabel("Provider").fill(willing.rpc);
  await form.getByLabel("Provider").press("Tab");
  await form.getByRole("status").filter({ hasText: "takes no modules" }).waitFor({ state: "detached" });
  await run();
  await page.locator(".result .output").filter({ hasText: '"words": 6' }).waitFor();
  await picture(page, "tasks-module");
  const { modules } = await get<{ modules: { sha256: string; requester: string }[] }>(`${willing.rest}/v1/modules`);
  assert.deepEqual(modules.map((one) => [one.sha256, one.requester]), [[sha256, requester.nodeId]]);
  const { tasks } = await get<{ tasks: { plugin: string; target: string }[] }>(`${requester.rest}/v1/tasks`);
  assert.deepEqual(tasks.map(({ plugin, target }) => [plugin, target]), [[sha256, willing.rpc]]);

  await form.getByLabel("Provider").fill("");
  await run();
  await page.locator(".result-head").getByText("succeeded").waitFor();
  await form.getByRole("button", { name: "use a plugin" }).click();
  await form.getByLabel("Plugin").waitFor();
  assert.equal(await form.getByLabel("Function").inputValue(), "");
});

test("a module that is dropped goes to any provider that takes such", async (t) => {
  const folder = scratch(t);
  const [willing, unwilling] = await Promise.all([
    startNode(t, { dataDir: join(folder, "willing"), config: { plugins: { acceptModules: true } } }),
    startNode(t, { dataDir: join(folder, "unwilling") }),
  ]);
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: [unwilling.rpc, willing.rpc] } },
  });
  const { file } = ownModule(folder);
  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/tasks`);
  const form = page.locator(".playground form");
  await form.getByRole("button", { name: "Any that fits" }).click();
  const zone = form.locator(".drop").filter({ hasText: "bring a module" });
  const { x, y, width, height } = (await zone.boundingBox())!;
  const devtools = await page.context().newCDPSession(page);
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await devtools.send("Input.dispatchDragEvent", {
      type,
      x: x + width / 2,
      y: y + height / 2,
      data: { items: [], files: [file], dragOperationsMask: 1 },
    });
  }
  await form.getByText("mine.wasm").waitFor();
  await form.getByLabel("Function").fill("echo");
  await form.getByLabel("Input", { exact: true }).fill("anywhere");
  await form.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: "anywhere" }).waitFor();
  const { tasks } = await get<{ tasks: { target: string }[] }>(`${requester.rest}/v1/tasks`);
  assert.deepEqual(tasks.map(({ target }) => target), [willing.rpc]);
  assertQuiet();
});
