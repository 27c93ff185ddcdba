import assert from "node:assert/strict";
import { join } from "node:path";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

const TOKEN = "correct-horse-battery-staple";
const portOf = (url: string) => new URL(url).port;

test("a page tells that its node is gone, and goes on by itself when it is back", async (t) => {
  const dataDir = join(scratch(t), "data");
  const first = await startNode(t, { dataDir });
  const { page } = await openPage(t, `${first.rest}/#/tasks`);
  await page.getByText("connected").waitFor();
  await first.stop();
  await page.getByText("The node does not answer.").waitFor();
  await picture(page, "node-gone");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "The node does not answer" }).first().waitFor();

  await startNode(t, { dataDir, args: ["--rest-listen", `127.0.0.1:${portOf(first.rest)}`] });
  await page.getByText("connected").waitFor();
  await page.getByText("The node does not answer.").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: "world" }).waitFor();
});

test("with a token the page asks for it, refuses a wrong one, and stays logged in over a reload and a restart", async (t) => {
  const dataDir = join(scratch(t), "data");
  const config = { rest: { token: TOKEN } };
  const node = await startNode(t, { dataDir, config });
  const { page } = await openPage(t, node.rest);
  const token = page.getByLabel("Token");
  await token.waitFor();
  await picture(page, "login");
  await token.fill("wrong-token-of-some-length");
  await page.keyboard.press("Enter");
  await page.getByText("This is not the node's token.").waitFor();
  await token.fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText("connected").waitFor();
  const storage = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
  assert.ok(!String(storage).includes(TOKEN), String(storage));
  assert.match(String(storage), /,""\]$/);
  await page.reload();
  await page.getByText("connected").waitFor();

  await node.stop();
  await page.getByText("The node does not answer.").waitFor();
  await startNode(t, { dataDir, config, args: ["--rest-listen", `127.0.0.1:${portOf(node.rest)}`] });
  await page.getByText("connected").waitFor();

  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await token.waitFor();
  await page.reload();
  await token.waitFor();
});

test("a page whose token no longer counts asks for the new one", async (t) => {
  const dataDir = join(scratch(t), "data");
  const node = await startNode(t, { dataDir, config: { rest: { token: TOKEN } } });
  const { page } = await openPage(t, `${node.rest}/#/plugins`);
  await page.getByLabel("Token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByRole("article").waitFor();
  await node.stop();
  await startNode(t, {
    dataDir,
    config: { rest: { token: "another-token-of-some-length" } },
    args: ["--rest-listen", `127.0.0.1:${portOf(node.rest)}`],
  });
  await page.getByLabel("Token").waitFor();
  await page.getByLabel("Token").fill("another-token-of-some-length");
  await page.keyboard.press("Enter");
  await page.getByRole("article").waitFor();
});

test("names with markup and with characters that turn the writing show as what they are", async (t) => {
  const evil = '<img src=x onerror="document.title=1">\u202Egnp.exe';
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config: { node: { name: evil } } });
  const { page, assertQuiet } = await openPage(t, node.rest);
  await page.locator(".node-card b").filter({ hasText: "onerror" }).waitFor();
  const shown = await page.locator(".node-card b").textContent();
  assert.equal(shown, '<img src=x onerror="document.title=1">⟨202E⟩gnp.exe');
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.locator(".node-card bdi").count(), 1);
  assertQuiet();
});

test("a page of another origin can neither read nor change anything", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const other = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page } = await openPage(t, other.rest, { mayFail: /./, bypassCSP: true });
  const tries = await page.evaluate(`Promise.all([
    fetch("${node.rest}/v1/node").then(() => "read", () => "refused"),
    fetch("${node.rest}/v1/tasks/run", { method: "POST", body: "{}", headers: { "content-type": "application/json" } })
      .then(() => "ran", () => "refused"),
    fetch("${node.rest}/v1/session", { method: "POST", mode: "no-cors" }).then((r) => r.type, () => "refused"),
  ])`);
  assert.deepEqual(tries, ["refused", "refused", "opaque"]);
  const tasks = await (await fetch(`${node.rest}/v1/tasks`)).json() as { tasks: unknown[] };
  assert.deepEqual(tasks.tasks, []);
});

test("the whole page can be walked with the keyboard, and the focus shows", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, node.rest);
  await page.getByText("connected").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.textContent"), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate("document.activeElement.id"), "content");
  const nav = page.getByRole("navigation", { name: "Pages" });
  await nav.getByRole("link", { name: "Plugins" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Plugins" }).waitFor();
  await page.getByRole("switch").focus();
  const outline = "getComputedStyle(document.activeElement).outlineStyle";
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(outline), "solid");
  await page.keyboard.press("Space");
  await page.getByText("off", { exact: true }).waitFor();
  assertQuiet();
});

test("the settings show what was set and where, and never a secret", async (t) => {
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { tasks: { maxQueued: 77 }, rest: { token: TOKEN } },
  });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/settings`, { mayFail: /401/ });
  await page.getByLabel("Token").fill(TOKEN);
  await page.keyboard.press("Enter");
  const queued = page.locator(".setting").filter({ hasText: "tasks.maxQueued" }).first();
  await queued.getByText("77").waitFor();
  await page.getByLabel("Only what is not the default").check();
  await page.locator(".setting").filter({ hasText: "rest.token" }).getByText("hidden").waitFor();
  assert.ok(!(await page.content()).includes(TOKEN));
  await picture(page, "settings");
  assertQuiet();
});

test("the overview shows what needs the operator", async (t) => {
  const config = { alerts: { minFreeBytes: "8000TiB" } };
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config });
  const { page } = await openPage(t, node.rest);
  await page.getByTestId("alerts").getByText("low disk").waitFor();
  await page.getByTestId("alerts").getByText("alerts.minFreeBytes").waitFor();
  await picture(page, "alerts");
});
