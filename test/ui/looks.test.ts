import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { post, until } from "../e2e/harness.ts";
import { channelsOf, ETHER, startPaidSwarm } from "../e2e/paid-swarm.ts";
import { test } from "../testing.ts";
import { assertFits, openBrowser, openPage, picture } from "./harness.ts";

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

/**
 * Texts that WCAG 2.2 AA (1.4.3) calls too faint: below 4.5:1, or 3:1 for large ones. Disabled controls are exempt there, and what
 * is not seen does not count.
 */
const FAINT = `(() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const linear = (value) => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ancestors = (one) => one === null ? [] : [one, ...ancestors(one.parentElement)];
  const behind = (chain) => chain.toReversed()
    .reduce((below, one) => over(rgba(getComputedStyle(one).backgroundColor), below), [255, 255, 255]);
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data).join("").trim();
    const typed = one.matches("input:not([type=checkbox]), textarea, select") ? one.value || one.placeholder : "";
    if (text === "" && typed === "" || !one.checkVisibility({ visibilityProperty: true })) continue;
    const { width, height } = one.getBoundingClientRect();
    if (width < 2 || height < 2 || one.closest(":disabled, .visually-hidden, svg") !== null) continue;
    const style = getComputedStyle(one);
    const chain = ancestors(one);
    const below = behind(chain);
    const opacity = chain.reduce((all, each) => all * Number(getComputedStyle(each).opacity), 1);
    const [r, g, b, a] = rgba(style.color);
    const shown = over([r, g, b, a * opacity], below);
    const [light, dark] = [luminance(shown), luminance(below)].sort((x, y) => y - x);
    const ratio = (light + .05) / (dark + .05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700 ? 3 : 4.5;
    if (ratio < least) faint.push(\`\${one.tagName}.\${one.className} "\${(text || typed).slice(0, 40)}" \${ratio.toFixed(2)}:1\`);
  }
  return faint;
})()`;

/** Controls and pictures that a screen reader would have no name for. */
const NAMELESS = `[...document.querySelectorAll("input, select, textarea, button, a[href], progress, img, dialog")]
  .filter((one) => one.checkVisibility() && one.type !== "hidden")
  .filter((one) => {
    const label = one.getAttribute("aria-label") ?? "";
    const by = (one.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
    const own = one.matches("button, a") ? one.textContent : one.matches("img") ? one.alt : "";
    const labels = [...one.labels ?? []].map(({ textContent }) => textContent);
    return [label, ...by, own, ...labels].every((text) => (text ?? "").trim() === "");
  })
  .map((one) => one.outerHTML.slice(0, 200))`;

/** What has to be scrolled sideways to be seen, and labels of the menu that are wider than their place. */
const SIDEWAYS = `[
  ...[...document.querySelectorAll("nav, .table-wrap")].filter((one) => one.scrollWidth > one.clientWidth),
  ...[...document.querySelectorAll(".side nav a")]
    .filter((one) => one.checkVisibility() && one.lastElementChild.getBoundingClientRect().width > one.getBoundingClientRect().width),
].map((one) => one.className || one.textContent)`;

async function assertReadable(page: Page, where: string): Promise<void> {
  assert.deepEqual(await page.evaluate(FAINT), [], `${where}: too faint`);
  assert.deepEqual(await page.evaluate(NAMELESS), [], `${where}: without a name`);
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
