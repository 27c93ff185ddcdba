import { posix } from "node:path";
import { Marked, type Tokens } from "marked";

export interface Heading {
  readonly id: string;
  /** Without markup. */
  readonly text: string;
  readonly depth: number;
}

export interface RenderedPage {
  readonly title: string;
  readonly html: string;
  /** Below the title, in order. */
  readonly headings: readonly Heading[];
  /** Files below `docs/` that it shows or links. */
  readonly assets: readonly string[];
}

/** Renders a page of `docs/`. Links to other pages become links to their HTML; what is not below `docs/` is named, since the site does not have it. */
export function renderPage(source: string, markdown: string): RenderedPage {
  const headings: Heading[] = [];
  const assets: string[] = [];
  const taken = new Map<string, number>();
  let title = source;

  const place = (href: string): string | undefined => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith("#")) return href;
    const [path = "", hash] = href.split("#", 2);
    const from = posix.join("docs", posix.dirname(source), path);
    const tail = hash === undefined ? "" : `#${hash}`;
    if (!from.startsWith("docs/")) return undefined;
    if (path.endsWith(".md")) return `${path.replace(/\.md$/, ".html")}${tail}`;
    if (path !== "") assets.push(from.slice("docs/".length));
    return href;
  };

  const marked = new Marked({ gfm: true });
  marked.use({
    renderer: {
      heading({ tokens, depth, text: raw }: Tokens.Heading): string {
        const inner = this.parser.parseInline(tokens);
        const text = inner.replaceAll(/<[^>]+>/g, "");
        const id = slugOf(raw, taken);
        if (depth === 1) {
          title = unescape(text);
          return `<h1>${inner}</h1>`;
        }
        headings.push({ id, text: unescape(text), depth });
        return `<h${depth} id="${id}">${inner} <a class="anchor" href="#${id}" aria-label="Link to this part">#</a></h${depth}>\n`;
      },
      link({ href, tokens }: Tokens.Link): string {
        const to = place(href);
        const inner = this.parser.parseInline(tokens);
        return to === undefined
          ? `<span class="elsewhere" title="In the repository: ${
            escape(posix.join("docs", posix.dirname(source), href))
          }">${inner}</span>`
          : `<a href="${escape(to)}">${inner}</a>`;
      },
      image({ href, text }: Tokens.Image): string {
        return `<img src="${escape(place(href) ?? href)}" alt="${escape(text)}" loading="lazy">`;
      },
      html({ text }: Tokens.HTML | Tokens.Tag): string {
        return escape(text);
      },
    },
  });
  const html = (marked.parse(markdown) as string)
    .replaceAll("<table>", '<div class="scroll" tabindex="0"><table>').replaceAll("</table>", "</table></div>")
    .replaceAll("<pre>", '<pre tabindex="0">');
  return { title, html, headings, assets };
}

/** The anchor that GitHub gives a heading, so that links work in both places. */
function slugOf(raw: string, taken: Map<string, number>): string {
  const base = raw.toLowerCase().replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim()
    .replaceAll(/\s/g, "-");
  const count = taken.get(base) ?? 0;
  taken.set(base, count + 1);
  return count === 0 ? base : `${base}-${count}`;
}

export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function unescape(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}
