import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { get, scratch, startNode, until } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { openBrowser, openPage, picture } from "./harness.ts";

const SIZE = 24 << 20; // 24 MiB

interface Held {
  readonly offset: number;
  readonly active: boolean;
  readonly state: string;
}

/** Lets the page send a few MiB a second, so that there is time to break in. */
async function slowDown(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 6 << 20,
  });
}

function heldThat(rest: string, holds: (held: Held) => boolean): Promise<Held> {
  return until(async () => {
    const { uploads } = await get<{ uploads: Held[] }>(`${rest}/v1/uploads`);
    return uploads.find(holds);
  });
}

test("an upload goes on where it was after its tab was closed and the node was killed", async (t) => {
  const folder = scratch(t);
  const providers = await Promise.all(
    [0, 1, 2].map((i) => startNode(t, { dataDir: join(folder, `provider-${i}`) })),
  );
  const config = { requester: { providers: providers.map(({ rpc }) => rpc) } };
  const dataDir = join(folder, "requester");
  const first = await startNode(t, { dataDir, config });
  const content = randomBytes(SIZE);
  const path = join(folder, "film.bin");
  writeFileSync(path, content);
  const browser = await openBrowser(t);

  const begun = await openPage(t, `${first.rest}/#/files`, { browser });
  await begun.page.getByText("No files yet").waitFor();
  await slowDown(begun.page);
  await begun.page.locator("input[type=file][multiple]").setInputFiles(path);
  await heldThat(first.rest, ({ offset }) => offset > 4 << 20);
  await begun.page.close({ runBeforeUnload: false });
  const { offset } = await heldThat(first.rest, ({ active }) => !active);
  assert.ok(offset > 0 && offset < SIZE, `${offset} bytes came`);
  await first.stop("SIGKILL");
  const second = await startNode(t, {
    dataDir,
    config,
    args: ["--rest-listen", first.rest.slice("http://".length)],
  });

  const { page, assertQuiet } = await openPage(t, `${second.rest}/#/files`, { browser });
  const offsets: string[] = [];
  page.on("request", (request) => {
    if (request.method() === "PATCH") offsets.push(request.headers()["upload-offset"] ?? "");
  });
  const row = page.locator(".upload.interrupted").filter({ hasText: "film.bin" });
  await row.getByText("choose the same file to go on").waitFor();
  await picture(page, "upload-interrupted");
  await row.locator("input[type=file]").setInputFiles(path);
  await page.locator(".upload.done").filter({ hasText: "film.bin" }).waitFor();
  assert.deepEqual(offsets, [String(offset)], "only what was missing was sent");
  await picture(page, "upload-resumed");
  const stored = await fetch(`${second.rest}/v1/files/film.bin`);
  const sha256 = createHash("sha256").update(new Uint8Array(await stored.arrayBuffer())).digest("hex");
  assert.equal(sha256, createHash("sha256").update(content).digest("hex"));
  assertQuiet();
});

test("an upload goes on by itself when the node is restarted under it", async (t) => {
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider") });
  const dataDir = join(folder, "requester");
  const config = { requester: { providers: [provider.rpc] } };
  const first = await startNode(t, { dataDir, config });
  const path = join(folder, "film.bin");
  writeFileSync(path, randomBytes(SIZE));
  const { page } = await openPage(t, `${first.rest}/#/files`);
  await page.getByText("No files yet").waitFor();
  await slowDown(page);
  await page.locator("input[type=file][multiple]").setInputFiles(path);
  await heldThat(first.rest, ({ offset }) => offset > 17 << 20);
  await first.stop("SIGKILL");
  await startNode(t, { dataDir, config, args: ["--rest-listen", first.rest.slice("http://".length)] });
  await page.locator(".upload.sending").filter({ hasText: "went on at" }).waitFor();
  await page.locator(".upload.done").filter({ hasText: "film.bin" }).waitFor();
});
