import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPluginServer } from "../../src/rpc/mod.ts";
import { isTaskReceiptSigned, type TaskReceipt } from "../../src/core/mod.ts";
import { post, scratch, startNode } from "../e2e/harness.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";
import { openBrowser, openPage, picture } from "./harness.ts";

test("a task run from the page shows its output and joins the history", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, node.rest);
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await page.getByLabel("Plugin").selectOption("demo");
  await page.getByLabel("Function").selectOption("wordcount");
  await page.getByLabel("Input", { exact: true }).fill("to be or not to be");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: '"words": 6' }).waitFor();
  await page.locator("tbody tr").filter({ hasText: "wordcount" }).getByText("succeeded").waitFor();
  await picture(page, "tasks");
  assertQuiet();
});

test("the log and the progress of a task show while it runs, and the log stays when it has ended", async (t) => {
  const gate = Promise.withResolvers<void>();
  const server = createPluginServer({
    name: "slow",
    version: "1.0.0",
    functions: {
      work: {
        async run(_, { log, progress }) {
          log("info", "begun <b>with</b> \u202Eturned");
          progress(0.25, "a quarter");
          await gate.promise;
          log("error", "almost");
          progress(1, "all");
          return "done";
        },
      },
    },
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { plugins: { external: [{ name: "slow", address: `127.0.0.1:${port}` }] } },
  });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/tasks`);
  await page.getByLabel("Plugin").selectOption("slow");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  const lines = page.getByRole("list", { name: "Log" }).getByRole("listitem");
  await lines.filter({ hasText: "begun <b>with</b> ⟨202E⟩turned" }).waitFor();
  const bar = page.getByRole("progressbar", { name: "Progress" });
  await page.locator(".progress").getByText("a quarter").waitFor();
  assert.equal(await bar.getAttribute("value"), "0.25");
  await page.locator(".result-head").getByText("running").waitFor();
  await picture(page, "tasks-progress");
  gate.resolve();
  await page.locator(".result .output").filter({ hasText: "done" }).waitFor();
  await bar.waitFor({ state: "detached" });
  assert.deepEqual(await lines.evaluateAll((all) => all.map(({ className }) => className)), ["info", "error"]);
  await lines.last().getByText("almost").waitFor();
  assertQuiet();
});

test("a task runs at another node by its address, which is offered again", async (t) => {
  const provider = await startNode(t, { dataDir: join(scratch(t), "data") });
  const requester = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/tasks`);
  await page.getByLabel("Provider").fill(provider.rpc);
  await page.getByLabel("Input", { exact: true }).fill("you");
  await page.getByLabel("Input", { exact: true }).press("Control+Enter");
  await page.locator(".result .output").filter({ hasText: "hello, you" }).waitFor();
  await page.locator("tbody tr").filter({ hasText: provider.rpc }).waitFor();
  await page.reload();
  assert.equal(await page.locator("#targets option").getAttribute("value"), provider.rpc);
  assertQuiet();
});

test("a task runs at any provider that fits, or says why none does", async (t) => {
  const { requester, providers } = await startSwarm(t, 2);
  const { page } = await openPage(t, `${requester.rest}/#/tasks`, { mayFail: /Failed to load resource/ });
  await page.getByRole("button", { name: "Any that fits" }).click();
  await page.getByLabel("Costs at most").fill("1.2.3");
  await page.getByText("Not an amount in gwei").waitFor();
  assert.ok(await page.getByRole("button", { name: "Run", exact: true }).isDisabled());
  await page.getByLabel("Costs at most").fill("1");
  await page.getByLabel("Region").fill("nowhere");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "no_peer_fits" }).waitFor();
  await picture(page, "tasks-any-refused");
  await page.getByLabel("Region").fill("");
  await page.getByLabel("Function").fill("wordcount");
  await page.getByLabel("Input", { exact: true }).fill("to be or not to be");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: '"words": 6' }).waitFor();
  const where = await page.locator("tbody tr").filter({ hasText: "wordcount" }).first().locator("td").nth(3)
    .textContent();
  assert.ok(providers.some(({ rpc }) => rpc === where), `${where}`);
  await picture(page, "tasks-any");
});

test("a receipt shows that it holds, can be kept, and one that was changed is found out", async (t) => {
  const { requester, providers: [provider] } = await startSwarm(t, 1);
  const { page } = await openPage(t, `${requester.rest}/#/tasks`);
  await page.getByLabel("Provider").fill(provider!.rpc);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: "world" }).waitFor();
  await page.getByRole("link", { name: "details" }).click();
  const receipt = page.getByRole("dialog").getByRole("region", { name: "Receipt" });
  await receipt.getByText("verified").waitFor();
  await picture(page, "task-receipt");
  const saving = page.waitForEvent("download");
  await receipt.getByRole("link", { name: "Download" }).click();
  const saved = JSON.parse(readFileSync(await (await saving).path(), "utf8")) as TaskReceipt;
  assert.ok(isTaskReceiptSigned(saved));
  assert.equal(saved.provider, provider!.nodeId);

  await page.route("**/v1/receipts/check", async (route) => {
    await route.continue({ postData: JSON.stringify({ ...saved, function: "other" }) });
  });
  await page.reload();
  await receipt.getByText("not signed by its provider").waitFor();
});

test("a task that a program ran at a provider is in the history, and its receipt is there when the provider is gone", async (t) => {
  const { requester, providers: [provider] } = await startSwarm(t, 1);
  const answer = await post(`${requester.rest}/v1/tasks/run`, {
    id: "from-a-program",
    target: provider!.rpc,
    plugin: "demo",
    function: "greet",
    input: "you",
  });
  assert.equal(answer.status, 200, answer.text);
  await provider!.stop("SIGKILL");
  const { page } = await openPage(t, `${requester.rest}/#/tasks`);
  const row = page.locator("tbody tr").filter({ hasText: "from-a-program" });
  await row.filter({ hasText: provider!.rpc }).getByText("succeeded").waitFor();
  await row.getByRole("link").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(provider!.rpc, { exact: true }).waitFor();
  await dialog.getByRole("region", { name: "Receipt" }).getByText("verified").waitFor();
  await picture(page, "task-provider-gone");
});

test("a provider that is being typed stays when the page learns something meanwhile", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, node.rest);
  let release!: () => void;
  const released = new Promise<void>((resolve) => release = resolve);
  await page.route("**/v1/node*", async (route) => {
    await released;
    await route.continue();
  });
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await page.getByLabel("Provider").fill("127.0.0.1:80");
  release();
  await page.locator("option", { hasText: "wordcount" }).waitFor({ state: "attached" });
  assert.equal(await page.getByLabel("Provider").inputValue(), "127.0.0.1:80");
  assertQuiet();
});

test("a file is the input, and what is no text is shown as bytes", async (t) => {
  const folder = scratch(t);
  const node = await startNode(t, { dataDir: join(folder, "data") });
  writeFileSync(join(folder, "bytes.bin"), new Uint8Array([0, 255, 65, 66]));
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/tasks`);
  await page.getByLabel("Function").selectOption("echo");
  await page.getByLabel("Drop a file to use it as the input").setInputFiles(join(folder, "bytes.bin"));
  await page.getByText("bytes.bin").waitFor();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: "00 ff 41 42" }).waitFor();
  assertQuiet();
});

test("a task that fails says why in the node's words", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page } = await openPage(t, `${node.rest}/#/tasks`);
  await page.getByLabel("Provider").fill("127.0.0.1:1");
  await page.getByLabel("Input", { exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "cannot be reached" }).first().waitFor();
  await picture(page, "tasks-failure");
});

test("the details of a task open from the history, close with Escape, and have an address of their own", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  await fetch(`${node.rest}/v1/tasks`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: "job-1", plugin: "demo", function: "greet", input: "hello" }),
  });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/tasks/job-1`);
  const dialog = page.getByRole("dialog");
  await dialog.getByText("world").waitFor();
  await picture(page, "task-details");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.locator("tbody").getByRole("link", { name: "job-1" }).click();
  await dialog.getByText(/^demo@\d\S* greet$/).first().waitFor();
  assert.match(page.url(), /#\/tasks\/job-1$/);
  assertQuiet();
});

test("the overview plots what the node does and follows it live", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const browser = await openBrowser(t);
  const { page, assertQuiet } = await openPage(t, node.rest, { browser });
  await page.getByText("Ready", { exact: true }).waitFor();
  const done = page.locator(".tile").filter({ hasText: "Tasks done" }).locator("b");
  assert.equal(await done.textContent(), "0");
  for (let i = 0; i < 25; i++) {
    await fetch(`${node.rest}/task`, { method: "POST", body: JSON.stringify({ id: "1", input: "hello" }) });
  }
  await done.filter({ hasText: /^25$/ }).waitFor();
  await page.locator(".chart canvas").first().waitFor();
  assert.equal(await page.locator(".chart").count(), 6);
  await picture(page, "overview");
  for (
    const [name, look] of [["dark", { colorScheme: "dark" as const }], ["phone", {
      viewport: { width: 390, height: 844 },
    }]] as const
  ) {
    const other = await openPage(t, node.rest, { browser, ...look });
    await other.page.locator(".chart canvas").first().waitFor();
    const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert.equal(await other.page.evaluate(overflow), 0, `${name} scrolls sideways`);
    await picture(other.page, `overview-${name}`);
    other.assertQuiet();
  }
  assertQuiet();
});
