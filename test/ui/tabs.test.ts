import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { scratch, startNode } from "../e2e/harness.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

const TOKEN = "correct-horse-battery-staple";
const SLOW_MS = 1200;

async function runGreeting(page: Page, input: string): Promise<void> {
  await page.getByLabel("Input", { exact: true }).fill(input);
  await page.getByRole("button", { name: "Run", exact: true }).click();
}

test("two tabs show the same: a task and a file of one come up in the other", async (t) => {
  const { requester: { rest }, folder } = await startSwarm(t, 6);
  const { page: first, assertQuiet } = await openPage(t, `${rest}/#/tasks`);
  const second = await first.context().newPage();
  await second.goto(`${rest}/#/tasks`);
  await second.getByText("connected").waitFor();
  await runGreeting(first, "from the first tab");
  await first.locator(".result .output").filter({ hasText: "hello, from the first tab" }).waitFor();
  await second.locator("tbody tr").filter({ hasText: "succeeded" }).waitFor();

  await second.goto(`${rest}/#/files`);
  await second.getByText("No files yet").waitFor();
  await first.goto(`${rest}/#/files`);
  writeFileSync(join(folder, "both.txt"), "seen from both tabs");
  await first.locator("input[type=file][multiple]").setInputFiles(join(folder, "both.txt"));
  await second.locator(".files").getByRole("link", { name: "both.txt" }).waitFor();
  await picture(second, "second-tab");
  assertQuiet();
});

test("who logs out in one tab is asked for the token in the other, and goes on in both after logging in again", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config: { rest: { token: TOKEN } } });
  const { page: first } = await openPage(t, `${node.rest}/#/settings`, { mayFail: /Failed to load resource/ });
  await first.getByLabel("Token").fill(TOKEN);
  await first.keyboard.press("Enter");
  const logOut = first.getByRole("button", { name: "Log out" });
  await logOut.waitFor();
  const second = await first.context().newPage();
  await second.goto(`${node.rest}/#/tasks`);
  await second.getByText("connected").waitFor();
  await logOut.click();
  await first.getByLabel("Token").waitFor();
  await second.getByRole("button", { name: "Run", exact: true }).click();
  await second.getByLabel("Token").fill(TOKEN);
  await second.keyboard.press("Enter");
  await runGreeting(second, "again");
  await second.locator(".result .output").filter({ hasText: "hello, again" }).waitFor();
  await first.reload();
  await logOut.waitFor();
});

test("with a slow node files, peers, plugins and settings show that they load, and one click is one task", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, node.rest);
  await page.getByText("connected").waitFor();
  const asked: string[] = [];
  await page.route("**/v1/**", async (route) => {
    asked.push(`${route.request().method()} ${new URL(route.request().url()).pathname}`);
    await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    await route.continue().catch(() => {}); // the page may have left
  });
  for (const name of ["Files", "Peers", "Plugins", "Settings"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.getByRole("status", { name: "Loading" }).first().waitFor();
    if (name === "Plugins") await picture(page, "slow-node");
    await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
  }
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await page.getByLabel("Plugin").waitFor();
  await page.getByLabel("Input", { exact: true }).fill("once");
  asked.length = 0;
  await page.getByRole("button", { name: "Run", exact: true }).dblclick();
  await page.getByLabel("Input", { exact: true }).press("Control+Enter");
  await page.locator(".result .output").filter({ hasText: "hello, once" }).waitFor();
  assert.equal(asked.filter((call) => call.startsWith("POST")).length, 1, asked.join(", "));
  const { tasks } = await (await fetch(`${node.rest}/v1/tasks`)).json() as { tasks: unknown[] };
  assert.equal(tasks.length, 1);
  assertQuiet();
});
