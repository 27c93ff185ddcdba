import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseNodeId } from "../../src/core/mod.ts";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { get, post, scratch, startNode, until } from "../e2e/harness.ts";
import { channelOf, channelsOf, ETHER, startPaidSwarm } from "../e2e/paid-swarm.ts";
import { money } from "../../web/src/money.ts";
import { deployToken } from "../payments/tokens.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { assertFits, openBrowser, openPage, picture } from "./harness.ts";

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

test("channels are seen, topped up and closed from the page, and each asks before it does", async (t) => {
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

test("what a channel owes is claimed, what all owe too, and it is withdrawn, each after a question", async (t) => {
  const { providers, requester } = await startPaidSwarm(t, {
    prices: { cpuSecond: "1000000", minimum: String(ETHER / 1000n) },
    // So that only the page claims.
    provider: { payments: { claimEveryMs: 3_600_000 } },
  });
  const provider = providers[0]!;
  const work = async (id: string) => {
    const answer = await post(`${requester.rest}/task`, { target: provider.rpc, id, input: "hello" });
    assert.equal(answer.status, 200, answer.text);
    await until(async () => {
      const [channel] = await channelsOf(provider);
      return (channel !== undefined && BigInt(channel.paid) > BigInt(channel.claimed)) || undefined;
    });
  };
  await work("c1");
  const { page, assertQuiet } = await openPage(t, `${provider.rest}/#/payments`);
  const tile = (name: string) => page.locator(".tile").filter({ hasText: name }).locator("b");
  await page.getByRole("link", { name: /^from 0x/ }).click();
  const panel = page.getByRole("dialog").first();
  const claim = panel.getByRole("button", { name: "Claim", exact: true });
  await claim.click();
  const question = page.getByRole("dialog").last();
  await question.getByText("Claim what this channel owes?").waitFor();
  await question.getByRole("button", { name: "Not now" }).click();
  assert.equal((await channelOf(provider)).claimed, "0", "not before yes");
  await claim.click();
  await question.getByText("Claim what this channel owes?").waitFor();
  await question.getByRole("button", { name: "Claim", exact: true }).click();
  await page.locator(".toast.good").filter({ hasText: "Claimed" }).waitFor();
  const first = await channelOf(provider);
  assert.ok(BigInt(first.claimed) > 0n && first.claimed === first.paid, JSON.stringify(first));
  await panel.locator("dt", { hasText: "Claimed" }).locator("+ dd").getByText(money(first.claimed)).waitFor();
  assert.ok(await claim.isDisabled(), "nothing is owed any more");
  await page.keyboard.press("Escape");
  await tile("To withdraw").getByText(money(first.claimed), { exact: true }).waitFor();
  const all = page.getByRole("button", { name: "Claim all", exact: true });
  assert.ok(await all.isDisabled());

  await work("c2");
  await page.getByRole("button", { name: "Look again" }).click();
  const { paid } = await channelOf(provider);
  await tile("To claim").getByText(money(BigInt(paid) - BigInt(first.claimed)), { exact: true }).waitFor();
  await all.click();
  await question.getByText("Claim what all channels owe?").waitFor();
  await picture(page, "payments-claim-all");
  await question.getByRole("button", { name: /^Claim / }).click();
  await page.getByText(/^Claimed; transaction 0x/).first().waitFor();
  await tile("To withdraw").getByText(money(paid), { exact: true }).waitFor();
  assert.equal((await channelOf(provider)).claimed, paid);
  await tile("To claim").getByText("0", { exact: true }).waitFor();

  await page.getByRole("button", { name: "Withdraw" }).click();
  await question.getByText(/^Withdraw .*\?$/).waitFor();
  await question.getByRole("button", { name: "Withdraw", exact: true }).click();
  await page.getByText(/^Withdrawn .*; transaction 0x/).first().waitFor();
  await tile("To withdraw").getByText("0", { exact: true }).waitFor();
  assertQuiet();

  // The overview plots the same money.
  for (const [node, title] of [[provider, "Earned"], [requester, "Spent"]] as const) {
    const { page: overview, assertQuiet: assertOverviewQuiet } = await openPage(t, node.rest);
    const trade = overview.getByRole("region", { name: "Trade" });
    const figure = trade.locator("figure").filter({ has: overview.locator(".chart-title", { hasText: title }) });
    await figure.locator(".bar i").first().waitFor();
    await figure.getByText(money((await channelOf(node)).charged), { exact: true }).first().waitFor();
    assert.equal(await trade.locator("figure").count(), 1, "no plot of nothing");
    await assertFits(overview);
    await picture(overview, `overview-${title.toLowerCase()}`);
    assertOverviewQuiet();
  }
});

test("what the chain refuses is said in the dialog, and nothing typed is lost", async (t) => {
  const { provider, requester } = await startPaidPair(t);
  const { page } = await openPage(t, `${requester.rest}/#/payments`, { mayFail: /Failed to load resource/ });
  await page.getByText("No channels yet").waitFor();
  await picture(page, "payments-none");
  await page.getByRole("button", { name: "Open a channel" }).click();
  const form = page.getByRole("dialog").last();
  await form.getByLabel("Provider").fill("127.0.0.1:9");
  await form.getByRole("button", { name: "Ask what it wants" }).click();
  await form.getByRole("alert").waitFor();
  assert.equal(await form.getByLabel("Amount").count(), 0, "no amount before its unit is known");
  await form.getByLabel("Provider").fill(provider.rpc);
  await form.getByRole("button", { name: "Ask what it wants" }).click();
  await form.getByText("the chain's coin").waitFor();
  await form.getByLabel("Amount").fill("1000000");
  await form.getByRole("button", { name: "Open", exact: true }).click();
  await form.getByRole("alert").waitFor();
  assert.equal(await form.getByLabel("Provider").inputValue(), provider.rpc);
  await picture(page, "payments-refused");
  await form.getByLabel("Amount").fill("1");
  await form.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("link", { name: `to ${provider.rpc}` }).waitFor();
});

test("a channel in a token is opened in its own unit, and no amount of it is taken for coins or summed with them", async (t) => {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  // One that would pass for the coin but for its address.
  const token = await deployToken(chain, "NamedToken");
  await token.send("tell", ["ETH", 6]);
  const short = `${token.address.slice(0, 6)}…${token.address.slice(-4)}`;
  const { providers, requester } = await startPaidSwarm(t, {
    chain,
    providers: 2,
    prices: [
      { token: token.address, cpuSecond: "1", minimum: "10000" },
      { cpuSecond: "1000000", minimum: String(ETHER / 1000n) },
    ],
  });
  const [inToken, inCoins] = [providers[0]!, providers[1]!];
  await token.mint(parseNodeId(requester.nodeId), 10_000_000n);

  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/payments`);
  await page.getByRole("button", { name: "Open a channel" }).click();
  const form = page.getByRole("dialog").last();
  await form.getByLabel("Provider").fill(inToken.rpc);
  await form.getByRole("button", { name: "Ask what it wants" }).click();
  const wants = form.getByLabel("What it wants");
  await wants.getByText(token.address).waitFor();
  await wants.getByText("6 digits behind the point").waitFor();
  await form.getByLabel(`Amount of ETH (${short})`).fill("2.5000001");
  await form.getByText("Not an amount in ETH").waitFor();
  await form.getByLabel("Amount").fill("2.5");
  await form.getByText(`2.5 ETH (${short}): 2500000 of the smallest unit`).waitFor();
  await assertFits(page);
  await picture(page, "payments-open-token");
  await form.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByText(`Opened with 2.5 ETH (${short})`).first().waitFor();

  for (const target of [inToken.rpc, inCoins.rpc]) {
    const answer = await post(`${requester.rest}/task`, { target, id: `t${target}`, input: "hello" });
    assert.equal(answer.status, 200, answer.text);
  }
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByRole("link", { name: `to ${inCoins.rpc}` }).waitFor();
  const row = page.getByRole("row").filter({ hasText: inToken.rpc });
  await row.getByText(short).first().waitFor();
  const locked = page.locator(".tile").filter({ hasText: "In channels" });
  await locked.getByText("1 coin", { exact: true }).waitFor();
  await locked.getByText("2.5 ETH", { exact: true }).waitFor();
  await locked.getByText(short).waitFor();
  await page.getByText("counts the smallest units of every token alike").waitFor();
  const days = page.getByRole("region", { name: "By day and peer" });
  await days.getByText(/0\.001 coins/).first().waitFor();
  await days.getByLabel("Token").selectOption({ label: `ETH (${short})` });
  await days.getByText(`0.01 ETH (${short})`).first().waitFor();
  assert.equal(await days.locator("figure").getByText(/coin/).count(), 0);
  await picture(page, "payments-tokens");

  await page.getByRole("link", { name: `to ${inToken.rpc}` }).click();
  const side = page.getByRole("dialog").first();
  await side.getByText(token.address).waitFor();
  await side.getByRole("button", { name: "Top up" }).click();
  const more = page.getByRole("dialog").last();
  await more.getByLabel("Amount").fill("1");
  await more.getByText(`1 ETH (${short}): 1000000 of the smallest unit`).waitFor();
  await more.getByRole("button", { name: "Top up", exact: true }).click();
  await side.getByText("3.5 ETH").waitFor();

  await page.goto(`${requester.rest}/#/tasks`);
  await page.getByLabel("Provider").fill(inToken.rpc);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("link", { name: "details" }).click();
  const receipt = page.getByRole("dialog").getByRole("region", { name: "Receipt" });
  await receipt.getByText("0.01 ETH").waitFor();
  await receipt.getByText(short).waitFor();
  assertQuiet();

  const phone = await openPage(t, `${requester.rest}/#/payments`, {
    viewport: { width: 390, height: 844 },
    hasTouch: true,
  });
  await phone.page.locator(".bar i").first().waitFor();
  await assertFits(phone.page);
  await picture(phone.page, "payments-tokens-phone");
});

test("stake on shards is seen with what to do about it, and who lost a shard is challenged from the page", async (t) => {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const penalty = String(ETHER / 100n);
  const { requester, providers, providerAgain } = await startPaidSwarm(t, {
    chain,
    providers: 2,
    prices: { gibHour: "1000000000000000", minimum: "7" },
    provider: { payments: { audit: chain.audit, custodyPenalty: penalty } },
    requester: {
      files: { custodyPenalty: penalty },
      payments: { audit: chain.audit, custodyChallenge: "off" },
    },
  });
  for (const { rest, rpc } of providers) {
    const json = { target: rpc, stake: String(ETHER / 2n) };
    const registered = await post(`${rest}/v1/payments/register`, json);
    assert.equal(registered.status, 200, registered.text);
    const until = new Date(Date.now() + 365 * 86_400_000).toISOString();
    const pledged = await post(`${rest}/v1/payments/pledge`, { until });
    assert.equal(pledged.status, 200, pledged.text);
  }
  const answer = await fetch(`${requester.rest}/v1/files/staked?policy=1%2B1`, {
    method: "PUT",
    body: randomBytes(100_000) as BodyInit,
  });
  const { id } = await answer.json() as { id: string };
  const custody = async ({ rest }: { readonly rest: string }) =>
    (await get<{ custody: { provider: string; lost: boolean }[] }>(`${rest}/v1/payments/custody`)).custody;
  await until(async () => (await custody(requester)).length === 2 || undefined);
  const browser = await openBrowser(t);
  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/payments`, { browser });
  const section = page.getByRole("region", { name: "Stake on shards" });
  const rows = section.locator("tbody tr");
  await rows.nth(1).getByText("held", { exact: true }).waitFor();
  await rows.nth(0).getByText("0.01 coins").waitFor();

  const [gone] = await custody(requester);
  const liar = providers.findIndex(({ nodeId }) => nodeId === gone!.provider);
  await providers[liar]!.stop();
  rmSync(join(providers[liar]!.dataDir, "shards"), { recursive: true });
  await providerAgain(liar);
  await until(async () => {
    await post(`${requester.rest}/v1/files/${id}/audit`, {});
    return (await custody(requester)).some(({ lost }) => lost) || undefined;
  });
  await page.getByRole("button", { name: "Look again" }).click();
  const first = rows.nth(0);
  await first.getByText("lost", { exact: true }).waitFor();
  await picture(page, "payments-custody");
  await first.getByRole("button", { name: "Challenge" }).click();
  const question = page.getByRole("dialog").last();
  await question.getByText("slashed by 0.01 coins").waitFor();
  await question.getByRole("button", { name: "Challenge", exact: true }).click();
  await page.locator(".toast.good").filter({ hasText: "Challenged" }).waitFor();
  await first.getByText("challenged", { exact: true }).waitFor();
  await first.getByText("Wait: it may answer until").waitFor();
  assertQuiet();

  const bound = await openPage(t, `${providers[1 - liar]!.rest}/#/payments`, { browser });
  const own = bound.page.getByRole("region", { name: "Stake on shards" });
  await own.getByText("bound", { exact: true }).waitFor();
  await own.getByText("Keep the shard until then").waitFor();
  bound.assertQuiet();
  const phone = await openPage(t, `${requester.rest}/#/payments`, {
    browser,
    viewport: { width: 390, height: 844 },
    hasTouch: true,
  });
  await phone.page.getByRole("region", { name: "Stake on shards" }).waitFor();
  await assertFits(phone.page);
  await picture(phone.page, "payments-custody-phone");
  phone.assertQuiet();
});
