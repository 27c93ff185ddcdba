import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { post, scratch, startNode } from "../e2e/harness.ts";
import { ETHER, startPaidSwarm } from "../e2e/paid-swarm.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { openBrowser, openPage, picture } from "./harness.ts";

/** Nothing of the page is cut off at the side. */
async function assertFits(page: Page): Promise<void> {
  const wide = await page.evaluate(`[...document.querySelectorAll("main *")]
    .filter((one) => !one.closest(".table-wrap, .table-scroll") && one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => one.tagName + "." + one.className)`);
  assert.deepEqual(wide, []);
}

async function startPaidPair(t: TestScope, payments: Record<string, unknown> = {}) {
  const { providers, requester } = await startPaidSwarm(t, {
    prices: { cpuSecond: "1000000", minimum: String(ETHER / 1000n) },
    requester: { payments },
  });
  return { provider: providers[0]!, requester };
}

test("a node that works free of charge says so, and what would change that", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { page, assertQuiet } = await openPage(t, `${node.rest}/#/payments`);
  await page.getByText("This node works free of charge").waitFor();
  await picture(page, "payments-free");
  assertQuiet();
});

test("channels are seen, topped up, claimed and closed from the page, and each asks before it does", async (t) => {
  const { provider, requester } = await startPaidPair(t, { capDay: String(ETHER), window: String(ETHER / 10n) });
  for (let i = 0; i < 3; i++) {
    const answer = await post(`${requester.rest}/task`, { target: provider.rpc, id: `s${i}`, input: "hello" });
    assert.equal(answer.status, 200, answer.text);
  }
  const browser = await openBrowser(t);

  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/payments`, { browser });
  const caps = page.locator(".caps > div").filter({ hasText: "payments.capDay" });
  await caps.getByText("1 coin", { exact: true }).waitFor();
  await page.locator(".bar i").first().waitFor();
  await picture(page, "payments");
  await page.getByRole("link", { name: `to ${provider.rpc}` }).click();
  const side = page.getByRole("dialog").first();
  await side.getByText("This node pays on it.").waitFor();
  await side.getByRole("region", { name: "Newest receipt" }).getByText("Signature").waitFor();
  await side.getByRole("region", { name: "Newest voucher" }).getByText("Signature").waitFor();
  await picture(page, "payments-channel");
  await side.getByRole("button", { name: "Top up" }).click();
  const form = page.getByRole("dialog").last();
  await form.getByLabel("Amount").fill("0.5.1");
  await form.getByText("Not an amount in coins").waitFor();
  await form.getByLabel("Amount").fill("0.25");
  await form.getByText(`${ETHER / 4n} wei`).waitFor();
  await picture(page, "payments-top-up");
  await form.getByRole("button", { name: "Top up", exact: true }).click();
  await page.getByText("Added 0.25 coins").first().waitFor();
  await side.getByText("1.25 coins").waitFor();
  await page.keyboard.press("Escape");

  const paid = await openPage(t, `${provider.rest}/#/payments`, { browser });
  await paid.page.getByRole("link", { name: /^from 0x/ }).click();
  const panel = paid.page.getByRole("dialog").first();
  await panel.getByRole("button", { name: "Close", exact: true }).last().click();
  const question = paid.page.getByRole("dialog").last();
  await question.getByText("Claim and end this channel?").waitFor();
  await picture(paid.page, "payments-confirm");
  await question.getByRole("button", { name: "Keep it" }).click();
  await panel.getByText("open", { exact: true }).waitFor();
  await panel.getByRole("button", { name: "Close", exact: true }).last().click();
  await paid.page.getByRole("dialog").last().getByRole("button", { name: "End the channel" }).click();
  await paid.page.getByText("The channel is closed").first().waitFor();
  await panel.getByText("closed", { exact: true }).waitFor();
  await panel.getByText("nothing can be done with it any more").waitFor();
  await paid.page.keyboard.press("Escape");
  await paid.page.locator(".bar i").first().waitFor();
  assertQuiet();
  paid.assertQuiet();

  for (
    const [name, options] of [
      ["dark", { colorScheme: "dark" }],
      ["phone", { viewport: { width: 390, height: 844 }, hasTouch: true }],
    ] as const
  ) {
    const other = await openPage(t, `${requester.rest}/#/payments`, { browser, ...options });
    await other.page.locator(".bar i").first().waitFor();
    await assertFits(other.page);
    await picture(other.page, `payments-${name}`);
    other.assertQuiet();
  }
});

test("what the chain refuses is said in the dialog, and nothing typed is lost", async (t) => {
  const { provider, requester } = await startPaidPair(t);
  const { page } = await openPage(t, `${requester.rest}/#/payments`, { mayFail: /Failed to load resource/ });
  await page.getByText("No channels yet").waitFor();
  await picture(page, "payments-none");
  await page.getByRole("button", { name: "Open a channel" }).click();
  const form = page.getByRole("dialog").last();
  await form.getByLabel("Provider").fill(provider.rpc);
  await form.getByLabel("Amount").fill("1000000");
  await form.getByRole("button", { name: "Open", exact: true }).click();
  await form.getByRole("alert").waitFor();
  assert.equal(await form.getByLabel("Provider").inputValue(), provider.rpc);
  await picture(page, "payments-refused");
  await form.getByLabel("Amount").fill("1");
  await form.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("link", { name: `to ${provider.rpc}` }).waitFor();
});
