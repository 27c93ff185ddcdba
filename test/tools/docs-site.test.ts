import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { brokenLinks } from "../../tools/docs-site/links.ts";
import { navOf } from "../../tools/docs-site/nav.ts";
import { renderPage } from "../../tools/docs-site/render.ts";
import { scratch } from "../e2e/harness.ts";
import { test } from "../testing.ts";

/** The tool runs on Node, whatever runs the test. */
const NODE = "Deno" in globalThis ? "node" : process.execPath;

test("the documentation site builds, has every page of docs/, and no link of it leads nowhere", (t) => {
  const folder = join(scratch(t), "site");
  execFileSync(NODE, ["--disable-warning=ExperimentalWarning", "tools/build-docs.ts", folder]);
  assert.deepEqual(brokenLinks(folder), []);
  const listed = navOf("docs").flatMap(({ pages }) => pages.map(({ source }) => source)).sort();
  assert.deepEqual(globSync("**/*.md", { cwd: "docs" }).map((name) => name.replaceAll("\\", "/")).sort(), listed);
  const page = readFileSync(join(folder, "files-api.html"), "utf8");
  assert.match(page, /<h1>Files over HTTP<\/h1>/);
  assert.match(page, /href="\.\/index\.html"/);
  assert.match(readFileSync(join(folder, "decisions/fast-path.html"), "utf8"), /href="\.\.\/style\.css"/);
  assert.doesNotMatch(page, /<(?:script|link|img)[^>]+(?:src|href)="https?:/, "asks nobody else for anything");
});

test("links that lead to no page or to no part of one are found", (t) => {
  const folder = scratch(t);
  mkdirSync(join(folder, "a"));
  writeFileSync(join(folder, "one.html"), '<a href="a/two.html#here">1</a> <a href="a/two.html#there">2</a>');
  writeFileSync(
    join(folder, "a/two.html"),
    '<b id="here"></b><img src="gone.png"><a href="../one.html"></a><a href="#x"></a>',
  );
  assert.deepEqual(brokenLinks(folder).sort(), [
    "a/two.html: #x has no part #x".replace("#x has", "a/two.html has"),
    "a/two.html: gone.png leads nowhere",
    "one.html: a/two.html has no part #there",
  ]);
});

test("markup in a page is shown, not run, and headings get the anchors that they have on GitHub", () => {
  const { html, title, headings } = renderPage(
    "x.md",
    "# A `title`\n\n## Who, and why?\n\n<script>alert(1)</script>\n\n## Who, and why?\n\n[y](../README.md) [z](y.md#part)\n",
  );
  assert.equal(title, "A title");
  assert.deepEqual(headings.map(({ id }) => id), ["who-and-why", "who-and-why-1"]);
  assert.doesNotMatch(html, /<script/);
  assert.match(html, /title="In the repository: README\.md"/);
  assert.match(html, /href="y\.html#part"/);
});
