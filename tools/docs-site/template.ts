import { posix } from "node:path";
import type { NavGroup } from "./nav.ts";
import { escape, type RenderedPage } from "./render.ts";

export interface PageOptions {
  readonly source: string;
  readonly page: RenderedPage;
  readonly nav: readonly NavGroup[];
}

const LOGO =
  `<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="1.8">
<ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(-28 16 16)"/><ellipse cx="16" cy="16" rx="14" ry="5.6"
 transform="rotate(62 16 16)" opacity=".45"/></g><circle cx="16" cy="16" r="4.6" fill="currentColor"/></svg>`;

/** A whole page: navigation, content, what is on the page, and the pages before and after. */
export function pageHtml({ source, page, nav }: PageOptions): string {
  const root = posix.relative(posix.dirname(source), ".") || ".";
  const at = (to: string) => `${root}/${to.replace(/\.md$/, ".html")}`;
  const all = nav.flatMap(({ pages }) => pages);
  const place = all.findIndex((one) => one.source === source);
  const neighbour = (step: number, word: string) => {
    const to = all[place + step];
    return to === undefined
      ? "<span></span>"
      : `<a href="${at(to.source)}"><small>${word}</small>${escape(to.title)}</a>`;
  };
  const menu = nav.map(({ title, pages }) =>
    `<h2>${escape(title)}</h2><ul>${
      pages.map((one) =>
        `<li><a href="${at(one.source)}"${one.source === source ? ' aria-current="page"' : ""}>${
          escape(one.title)
        }</a></li>`
      ).join("")
    }</ul>`
  ).join("");
  const parts = page.headings.filter(({ depth }) => depth === 2);
  const contents = parts.length < 2
    ? ""
    : `<aside class="parts"><h2>On this page</h2><ul>${
      parts.map(({ id, text }) => `<li><a href="#${id}">${escape(text)}</a></li>`).join("")
    }</ul></aside>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(page.title)} · Velas Sphere</title>
<link rel="icon" href="${root}/icon.svg">
<link rel="stylesheet" href="${root}/style.css">
<script type="module" src="${root}/search.js" data-root="${root}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top">
<a class="brand" href="${at("index.md")}">${LOGO}<span>Velas Sphere</span></a>
<div class="search" hidden><input type="search" placeholder="Search" aria-label="Search the documentation" autocomplete="off"><ul hidden></ul></div>
</header>
<div class="layout">
<nav class="menu" aria-label="Pages"><details open><summary>Pages</summary>${menu}</details></nav>
<main id="content" tabindex="-1"><article>${page.html}</article>
<footer class="neighbours">${neighbour(-1, "Before")}${neighbour(1, "Next")}</footer></main>
${contents}
</div>
</body>
</html>
`;
}
