import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { post, until } from "../e2e/harness.ts";
import { channelsOf, ETHER, startPaidSwarm } from "../e2e/paid-swarm.ts";
import { test } from "../testing.ts";
import { assertFits, openBrowser, openPage, picture } from "./harness.ts";
import { FAINT, NAMELESS, SIDEWAYS, SMALL } from "./page-checks.ts";

const WIDTHS = [390, 768, 900, 1440, 2560] as const;
const THEMES = ["light", "dark"] as const;

/** Each page with a text that is there once it has what it shows. */
const PAGES = [
  ["overview", "Overview", "Kept for others"],
  ["tasks", "Tasks", "wordcount"],
  ["files", "Files", "notes.txt"],
  ["plugins", "Plugins", "The most that a task may have"],
  ["peers", "Peers", "reachable"],
  ["payments", "Payments", "By day and peer"],
  ["settings", "Settings", "node.dataDir"],
] as const;

async function assertReadable(page: Page, where: string): Promise<void> {
  assert.deepEqual(await page.evaluate(FAINT), [], `${where}: too faint`);
  assert.deepEqual(await page.evaluate(NAMELESS), [], `${where}: without a name`);
  assert.deepEqual(await page.evaluate(SMALL), [], `${where}: hard to hit`);
}

test("every page fits and can be read on phone, tablet, desk and wall, light and dark, and every control has a name", async (t) => {
  const { providers: [provider], requester } = await startPaidSwarm(t, {
    providers: 2,
    prices: { cpuSecond: "1000000", minimum: String(ETHER / 1000n), gibHour: "1000" },
    requester: { payments: { capDay: String(ETHER) } },
  });
  const { rest } = requester;
  const task = { target: provider!.rpc, plugin: "demo", function: "wordcount", input: "to be or not to be" };
  const long = "a-name-that-goes-on-".repeat(3);
  for (const id of ["job-1", long]) {
    const answer = await post(`${rest}/v1/tasks/run`, { id, ...task });
    assert.equal(answer.status, 200, answer.text);
  }
  for (const name of ["notes.txt", `${long}/${long}.txt`]) {
    const stored = await fetch(`${rest}/v1/files/${name}?policy=1%2B1`, { method: "PUT", body: "kept" });
    assert.equal(stored.status, 201, await stored.text());
  }
  await until(async () => (await channelsOf(requester)).length > 0 || undefined);
  const { files } = await (await fetch(`${rest}/v1/files`)).json() as { files: { id: string }[] };
  const [channel] = await channelsOf(requester);
  const panels = [
    ["task", `tasks/job-1?target=${provider!.rpc}`, "Receipt"],
    ["file", `files?file=${files[0]!.id}`, "SHA-256"],
    ["peer", `peers?peer=${encodeURIComponent(provider!.rpc)}`, "What it says of itself"],
    ["channel", `payments?channel=${channel!.channelId}`, "Newest voucher"],
  ] as const;
  const browser = await openBrowser(t);
  for (const colorScheme of THEMES) {
    const { page, assertQuiet } = await openPage(t, rest, { browser, colorScheme });
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    await page.getByText("connected").waitFor();
    // The checks find what they are for.
    await page.evaluate(`document.querySelector("main").append(
      Object.assign(document.createElement("p"), { id: "probe", textContent: "faint" }), document.createElement("input"))`);
    await page.evaluate(`document.querySelector("#probe").style.color = "rgb(128 128 128 / .6)"`);
    assert.match(String(await page.evaluate(FAINT)), /^P\. "faint" [1-4]\.\d\d:1$/);
    assert.deepEqual(await page.evaluate(NAMELESS), ["<input>"]);
    await page.evaluate(`{
      const place = document.createElement("div");
      for (const text of "xy") {
        const button = Object.assign(document.createElement("button"), { textContent: text });
        Object.assign(button.style, { all: "unset", display: "block", fontSize: "9px", lineHeight: "9px" });
        place.append(button);
      }
      document.querySelector("main").append(place);
    }`);
    assert.match(String(await page.evaluate(SMALL)), /^BUTTON "x" .*,BUTTON "y"/);
    await page.reload();
    await page.getByText("connected").waitFor();
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : Math.round(width * 0.62) });
      for (const [path, title, text] of PAGES) {
        const where = `${path} at ${width} px, ${colorScheme}`;
        await page.goto(`${rest}/#/${path}`);
        await page.getByRole("heading", { level: 1, name: title }).waitFor();
        await page.locator("main").getByText(text).first().waitFor({ state: "attached" });
        await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
        assert.match(await page.title(), new RegExp(`^${title}\\b`), where);
        await assertFits(page);
        assert.deepEqual(await page.evaluate(SIDEWAYS), [], `${where}: scrolls sideways`);
        await assertReadable(page, where);
        if (path === "files") await page.getByText("1 file", { exact: true }).waitFor();
        await picture(page, `look-${path}-${width}-${colorScheme}`);
      }
      for (const [name, path, text] of panels) {
        if (width !== 390 && width !== 1440) continue;
        await page.goto(`${rest}/#/${path}`);
        const dialog = page.getByRole("dialog");
        await dialog.getByText(text).first().waitFor();
        await assertFits(page);
        await assertReadable(page, `${name} at ${width} px, ${colorScheme}`);
        await picture(page, `look-${name}-${width}-${colorScheme}`);
      }
      await page.goto(`${rest}/#/overview`);
    }
    assertQuiet();
  }
});
