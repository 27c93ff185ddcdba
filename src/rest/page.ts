import { createHash } from "node:crypto";
import { markup, trustedHtml } from "./html.ts";
import type { Html } from "./html.ts";
import { PAGE_STYLE } from "./page-style.ts";

/** The mark of the project: two orbits around a sphere. */
export const LOGO = trustedHtml(
  '<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="1.8">' +
    '<ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(-28 16 16)"/>' +
    '<ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(62 16 16)" opacity=".45"/></g>' +
    '<circle cx="16" cy="16" r="4.6" fill="currentColor"/></svg>',
);

const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="none" stroke="#4f6ef7" stroke-width="2">' +
    '<ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(-28 16 16)"/></g>' +
    '<circle cx="16" cy="16" r="5" fill="#4f6ef7"/></svg>',
);

const STYLE = trustedHtml(`<style>${PAGE_STYLE}</style>`);
const STYLE_HASH = createHash("sha256").update(PAGE_STYLE).digest("base64");

/** Nothing but the page's own style and icon: no script, no request, no frame around it. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Headers of every page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/html; charset=utf-8",
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-cache",
};

/** A whole HTML document around some content. */
export function page({ title, body }: { readonly title: string; readonly body: Html }): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${ICON}">
${STYLE}
</head>
<body>
${body}
</body>
</html>
`.text;
}
