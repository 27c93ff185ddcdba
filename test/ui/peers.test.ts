import assert from "node:assert/strict";
import { join } from "node:path";
import { get, post, scratch, startNode } from "../e2e/harness.ts";
import { ETHER, startPaidSwarm } from "../e2e/paid-swarm.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

const ROUND_TRIP = /^\d[\d.,]* (?:µs|ms|s)$/;

test("peers are added, looked at, asked and removed from the page, and what they say is told from what they did", async (t) => {
  const folder = scratch(t);
  const [node, other] = await Promise.all([
    startNode(t, { dataDir: join(folder, "node") }),
    startNode(t, { dataDir: join(folder, "other"), config: { node: { region: "eu-west", name: "<b>other</b>" } } }),
  ]);
  const { page, assertQuiet } = await openPage(t, `${node!.rest}/#/peers`);
  await page.getByText("No peers yet").waitFor();
  await picture(page, "peers-empty");
  const field = page.getByLabel("Add a peer");
  const add = page.getByRole("button", { name: "Add", exact: true });
  await field.fill(other!.rpc);
  await add.click();
  await page.getByText("1 of 1 can be used").waitFor();
  await field.fill("127.0.0.1:1");
  await add.click();
  await page.getByText("out of reach").waitFor();
  await post(`${node!.rest}/v1/tasks/run`, { plugin: "demo", function: "greet", input: "hello", any: {} });
  await picture(page, "peers");

  await page.getByRole("link", { name: other!.rpc }).click();
  const side = page.getByRole("dialog").first();
  const said = side.getByRole("region", { name: "What it says of itself" });
  await said.getByText("<b>other</b>").waitFor();
  await said.getByText("eu-west").waitFor();
  await side.getByRole("button", { name: "Ask it now" }).click();
  await page.getByText(`Asked ${other!.rpc}`).waitFor();
  await side.getByText(/1 went well, 0 did not/).waitFor();
  await picture(page, "peer");
  await side.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").nth(1).getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByText("0 of 1 can be used").waitFor();
  assertQuiet();
});

test("a paid peer's price and round trip stand in its row, and all its rates in its details", async (t) => {
  const { providers: [provider], requester } = await startPaidSwarm(t, {
    prices: {
      minimum: String(ETHER / 500n),
      cpuSecond: String(ETHER / 1000n),
      gpuSecond: String(ETHER / 4n),
      gibHour: "340000000000",
    },
  });
  const { rpc } = provider!;
  const { page, assertQuiet } = await openPage(t, `${requester.rest}/#/peers`);
  const row = page.getByRole("row").filter({ hasText: rpc });
  await row.getByText("reachable").waitFor();
  await row.getByText("0.001 coins / s", { exact: true }).waitFor();
  const { peers } = await get<{ peers: { target: string; latencyMs?: number }[] }>(`${requester.rest}/v1/peers`);
  const { latencyMs } = peers.find(({ target }) => target === rpc)!;
  assert.ok(latencyMs !== undefined && latencyMs > 0);
  assert.match((await row.locator("td").nth(3).textContent())!, ROUND_TRIP);
  await row.getByRole("link", { name: rpc }).click();
  const side = page.getByRole("dialog").first();
  assert.match((await side.locator("dt", { hasText: "Round trip" }).locator("+ dd").textContent())!, ROUND_TRIP);
  const said = side.getByRole("region", { name: "What it says of itself" });
  for (
    const [rate, price] of [
      ["Any task, at least", "0.002 coins"],
      ["A second in a plugin", "0.001 coins"],
      ["A second of GPU", "0.25 coins"],
      ["A GiB for an hour", "340 gwei"],
    ] as const
  ) {
    await said.locator("dl > div").filter({ hasText: rate }).getByText(price, { exact: true }).waitFor();
  }
  assert.equal(await said.getByText("A million instructions").count(), 0, "what costs nothing is left out");
  await picture(page, "peer-paid");
  assertQuiet();
});
