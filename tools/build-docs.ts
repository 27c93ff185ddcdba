/**
 * Builds the documentation site: `docs/` to static HTML in `dist/docs/` (or the folder named). Pages keep their places, so every relative link of
 * the Markdown works there too; a link that leads nowhere fails the build.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { brokenLinks } from "./docs-site/links.ts";
import { navOf } from "./docs-site/nav.ts";
import { renderPage } from "./docs-site/render.ts";
import type { RenderedPage } from "./docs-site/render.ts";
import { pageHtml } from "./docs-site/template.ts";

const target = process.argv[2] ?? "dist/docs";
const nav = navOf("docs");
const sources = nav.flatMap(({ pages }) => pages);
const rendered = new Map<string, RenderedPage>();
for (const { source } of sources) rendered.set(source, renderPage(source, readFileSync(join("docs", source), "utf8")));

rmSync(target, { recursive: true, force: true });
const assets = new Set<string>();
for (const [source, page] of rendered) {
  const path = join(target, source.replace(/\.md$/, ".html"));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, pageHtml({ source, page, nav }));
  for (const asset of page.assets) assets.add(asset);
}
for (const asset of assets) {
  if (!existsSync(join("docs", asset))) continue; // told of below
  mkdirSync(dirname(join(target, asset)), { recursive: true });
  copyFileSync(join("docs", asset), join(target, asset));
}
for (const name of ["style.css", "search.js"]) copyFileSync(`tools/docs-site/${name}`, join(target, name));
copyFileSync("web/icon.svg", join(target, "icon.svg"));
const index = [...rendered].flatMap(([source, { title, headings }]) => [
  { title, page: title, at: source.replace(/\.md$/, ".html") },
  ...headings.map(({ text, id }) => ({ title: text, page: title, at: `${source.replace(/\.md$/, ".html")}#${id}` })),
]);
writeFileSync(join(target, "search-index.json"), JSON.stringify(index));

const broken = brokenLinks(target);
for (const line of broken) console.error(line);
if (broken.length > 0) process.exit(1);
console.log(`The documentation site: ${rendered.size} pages in ${target}.`);
