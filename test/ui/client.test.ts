import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import * as esbuild from "esbuild";
import { drawSecretKey, keyOf } from "../../client/mod.ts";
import { toHex } from "../../src/core/mod.ts";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { openBrowser, picture } from "./harness.ts";

/** Serves the example page as a site of its own. */
async function serveExample(t: TestScope): Promise<string> {
  const { outputFiles } = await esbuild.build({
    entryPoints: ["examples/browser/main.ts"],
    bundle: true,
    write: false,
    format: "esm",
    logLevel: "error",
  });
  const script = outputFiles[0]!.contents;
  const page = readFileSync("examples/browser/index.html");
  const server = createServer(({ url = "" }, response) => {
    const isScript = url.startsWith("/main.js");
    response.setHeader(
      "Content-Type",
      isScript ? "text/javascript" : "text/html",
    );
    response.end(isScript ? script : page);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a page of another site runs tasks by connect-web and keeps files, when the node allows its origin", async (t) => {
  const origin = await serveExample(t);
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider") });
  const node = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: {
      requester: { providers: [provider.rpc] },
      rest: { allowedOrigins: [origin] },
      rpc: { allowedOrigins: [origin] },
    },
  });
  const browser = await openBrowser(t);
  const page = await browser.newPage();
  const answer = page.locator("#answer");
  await page.goto(
    `${origin}/?${new URLSearchParams({
      rpc: `http://${node.rpc}`,
      rest: node.rest,
    })}`,
  );
  await page.getByRole("button", { name: "Run it" }).click();
  await answer.filter({ hasText: /^world$/ }).waitFor();
  writeFileSync(join(folder, "note.txt"), "kept by a page");
  await page.locator("input[type=file]").setInputFiles(
    join(folder, "note.txt"),
  );
  await page.getByRole("button", { name: "Store it" }).click();
  await answer.filter({ hasText: "note.txt: 14 bytes, SHA-256" }).waitFor();
  await picture(page, "example-browser");

  // The other node allows nobody.
  await page.goto(
    `${origin}/?${new URLSearchParams({
      rpc: `http://${provider.rpc}`,
      rest: provider.rest,
    })}`,
  );
  await page.getByRole("button", { name: "Run it" }).click();
  await answer.filter({ hasText: "Failed to fetch" }).waitFor();
  const tasks = await (await fetch(`${provider.rest}/v1/tasks`)).json() as {
    tasks: unknown[];
  };
  assert.deepEqual(tasks.tasks, []);
});

test("the package's one file for browsers signs calls in a page, with nothing of Node's", async (t) => {
  const folder = scratch(t);
  const layout = join(folder, "layout");
  execFileSync(join(process.cwd(), "node_modules/node/bin/node"), ["tools/build-client.ts", "--to", layout], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const library = readFileSync(join(layout, "dist/browser.js"));
  const server = createServer(({ url = "" }, response) => {
    const isScript = url === "/client.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? library : "<!doctype html><title>A page</title>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const secret = drawSecretKey();
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { rpc: { allow: [keyOf(secret).nodeId], allowedOrigins: [origin] } },
  });
  const browser = await openBrowser(t);
  const page = await browser.newPage();
  await page.goto(origin);
  const addresses = { url: `http://${node.rpc}`, restUrl: node.rest, secret: toHex(secret) };
  const answers = await page.evaluate(async ({ url, restUrl, secret }) => {
    const library = "/client.js";
    const { connectWeb, keyOf } = await import(library) as typeof import("../../client/web.ts");
    const run = (signing?: { key: ReturnType<typeof keyOf> }) =>
      connectWeb({ url, restUrl, ...(signing === undefined ? {} : { signing }) }).tasks.run("hello")
        .then((output) => output.text(), (error: { code: string }) => error.code);
    return [await run({ key: keyOf(secret) }), await run()];
  }, addresses);
  assert.deepEqual(answers, ["world", "unauthenticated"]);
});
