import { join } from "node:path";
import { post, scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openPage, picture } from "./harness.ts";

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
