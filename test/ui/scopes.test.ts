import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { run, scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openBrowser, openPage, picture } from "./harness.ts";

test("a page whose token lacks a scope says so, and does what it may", async (t) => {
  const dataDir = join(scratch(t), "data");
  const file = join(dirname(dataDir), "tokens.json");
  const draw = async (name: string, ...scopes: string[]) => {
    const args = scopes.flatMap((scope) => ["--scope", scope]);
    return (await run(["token", "new", "--name", name, "--file", file, ...args])).stdout.trim();
  };
  const [reader, runner] = [await draw("wall", "read"), await draw("ci", "tasks")];
  const node = await startNode(t, { dataDir, config: { rest: { scopedTokensFile: file } } });
  const browser = await openBrowser(t);

  // One that may see the node, and change nothing.
  const first = await openPage(t, node.rest, { browser, mayFail: /40[13]/ });
  const { page } = first;
  await page.getByLabel("Token").fill(reader);
  await page.keyboard.press("Enter");
  await page.getByText("connected").waitFor();
  await page.getByText("token wall: read").waitFor();
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: 'The token "wall" lacks the scope tasks' }).first().waitFor();
  await picture(page, "scope-missing");
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("heading", { name: "This token is not for this page" }).waitFor();
  await page.getByText("has the scope read; this page needs admin").waitFor();
  await picture(page, "scope-missing-page");
  await page.getByRole("button", { name: "Log out" }).click();

  // One that may run tasks, and not watch the node: no stream is asked for in vain.
  await page.getByLabel("Token").fill(runner);
  await page.keyboard.press("Enter");
  await page.getByText("token ci: tasks").waitFor();
  await page.getByText("connected").waitFor();
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".result .output").filter({ hasText: "world" }).waitFor();
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByText("has the scope tasks; this page needs read").waitFor();
  assert.equal(await page.getByText("The node does not answer.").count(), 0);
  first.assertQuiet();

  const again = await openPage(t, node.rest, { browser });
  await again.page.getByLabel("Token").waitFor();
});
