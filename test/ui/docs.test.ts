import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import process from "node:process";
import { scratch } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { openBrowser, openPage, picture } from "./harness.ts";

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".css": "text/css",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

async function serveSite(t: TestScope): Promise<string> {
  const folder = join(scratch(t), "site");
  execFileSync(process.execPath, ["--disable-warning=ExperimentalWarning", "tools/build-docs.ts", folder]);
  const server = createServer(({ url = "/" }, response) => {
    const path = join(folder, normalize(decodeURIComponent(url.split("?", 1)[0]!)));
    if (!path.startsWith(folder) || !existsSync(path)) return void response.writeHead(404).end();
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("the documentation site is read, searched and fits, in light and dark and on a phone", async (t) => {
  const url = await serveSite(t);
  const browser = await openBrowser(t);
  const { page, assertQuiet } = await openPage(t, `${url}/index.html`, { browser });
  await page.getByRole("heading", { level: 1, name: "Quick start" }).waitFor();
  await picture(page, "docs");
  await page.getByRole("link", { name: "Errors" }).first().click();
  await page.getByRole("heading", { level: 1, name: "Errors" }).waitFor();
  await picture(page, "docs-errors");
  await page.keyboard.press("/");
  await page.keyboard.type("uploads that go on");
  await page.locator(".search li").first().waitFor();
  await picture(page, "docs-search");
  await page.keyboard.press("Enter");
  await page.waitForURL(/files-api\.html#uploads-that-go-on$/);
  assertQuiet();
  for (
    const [name, options] of [
      ["dark", { colorScheme: "dark" }],
      ["phone", { viewport: { width: 390, height: 844 } }],
    ] as const
  ) {
    for (const place of ["index", "comparison", "configuration", "protocol"]) {
      const other = await openPage(t, `${url}/${place}.html`, { browser, ...options });
      const wide = await other.page.evaluate("document.documentElement.scrollWidth - innerWidth") as number;
      assert.ok(wide <= 0, `${place} is ${wide} pixels too wide (${name})`);
      if (place === "index" || place === "comparison") await picture(other.page, `docs-${place}-${name}`);
      other.assertQuiet();
    }
  }
});
