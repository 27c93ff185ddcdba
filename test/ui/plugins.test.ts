import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

test("a plugin is switched off and on, and takes tasks only while it is on", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/plugins`);
  const card = page.getByRole("article", { name: /^demo \d/ });
  await card.getByText("ready").waitFor();
  await picture(page, "plugins");
  const run = async () => (await fetch(`${node.rest}/v1/run/demo/greet`, { method: "POST", body: "hello" })).status;
  await card.getByRole("switch").click();
  await card.getByText("off", { exact: true }).waitFor();
  assert.equal(await run(), 404);
  await card.getByRole("switch").click();
  await card.getByText("ready").waitFor();
  assert.equal(await run(), 200);
  assertQuiet();
});

test("a plugin is removed only after a question, and installed again by dropping its module", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/plugins`);
  const card = page.getByRole("article", { name: /^demo \d/ });
  await card.getByRole("button", { name: /^Remove demo \d/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Keep it" }).click();
  await card.waitFor();
  await card.getByRole("button", { name: /^Remove demo \d/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByText("No plugins").waitFor();
  await picture(page, "plugins-empty");

  const module = readFileSync("wasm-plugins/demo/demo.wasm").toString("base64");
  await page.evaluate(`(() => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob("${module}"), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], "demo.wasm", { type: "application/wasm" }));
    document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  })()`);
  await page.getByText(/^Installed demo \d/).waitFor();
  await card.getByText("ready").waitFor();
  assertQuiet();
});

test("what is no module is refused with the node's reason, and nothing changes", async (t) => {
  const folder = scratch(t);
  const node = await startNode(t, { dataDir: join(folder, "data") });
  const { page } = await openPage(t, `${node.rest}/#/plugins`);
  await page.locator("input[type=file]").setInputFiles({
    name: "evil<b>.wasm",
    mimeType: "application/wasm",
    buffer: Buffer.from("no module"),
  });
  await page.locator(".toast.bad").filter({ hasText: "evil<b>.wasm:" }).waitFor();
  assert.equal(await page.getByRole("article").count(), 1);
});

test("the page shows what a task may have at most, and what each plugin was used for, as it goes", async (t) => {
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: {
      tasks: { maxInputBytes: "5MiB", maxOutputBytes: "17MiB", maxTimeoutMs: "90s", maxInstructions: 123_456_789_012 },
    },
  });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/plugins`);
  const limits = page.getByRole("region", { name: "The most that a task may have" });
  for (
    const [name, value] of [
      ["Input", "5 MiB"],
      ["Output", "17 MiB"],
      ["Time", "1 min 30 s"],
      ["Instructions", "123,456,789,012"],
    ] as const
  ) {
    await limits.locator("dl > div").filter({ hasText: name }).getByText(value, { exact: true }).waitFor();
  }
  const card = page.getByRole("article", { name: /^demo \d/ });
  await card.getByText("Not called since the node started").waitFor();
  const run = async (fn: string, body: string) =>
    (await fetch(`${node.rest}/v1/run/demo/${fn}`, { method: "POST", body })).status;
  assert.deepEqual([await run("greet", "hello"), await run("wordcount", "to be")], [200, 200]);
  assert.equal(await run("resize", "not json"), 404, "no such function: it was never called");
  const meter = (name: string) => card.locator("dl > div").filter({ hasText: name }).locator("dd");
  await meter("Calls").filter({ hasText: /^2$/ }).waitFor();
  assert.equal(await meter("Failed").textContent(), "0");
  const told = Number((await meter("Instructions").textContent())!.replaceAll(",", ""));
  const { plugins } = await (await fetch(`${node.rest}/v1/plugins`)).json() as {
    plugins: { name: string; used: { instructions: number } }[];
  };
  assert.ok(told > 0);
  assert.equal(told, plugins.find(({ name }) => name === "demo")!.used.instructions);
  await picture(page, "plugins-used");
  assertQuiet();
});
