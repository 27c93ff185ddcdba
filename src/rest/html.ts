/** Text that is HTML already. Only {@link markup} and {@link trustedHtml} make it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type HtmlValue = Html | string | number | undefined | false | readonly HtmlValue[];

/**
 * A template tag that escapes every value but {@link Html}; lists are joined, `undefined` and `false` are nothing. (A tag named
 * `html` would have the formatter lay out the text of inline elements, where white space shows.)
 */
export function markup(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = parts[0]!;
  for (let i = 0; i < values.length; i++) text += render(values[i]) + parts[i + 1]!;
  return new Html(text);
}

/** Marks text of our own, such as a style sheet, as HTML. Never for anything that came from outside. */
export function trustedHtml(text: string): Html {
  return new Html(text);
}

/** Makes `code` of what stands between backquotes, and paragraphs of what blank lines divide. */
export function prose(text: string): Html {
  return markup`${text.split(/\n\s*\n/).map((paragraph) => markup`<p>${inlineProse(paragraph)}</p>`)}`;
}

/** Like {@link prose}, without paragraphs. */
export function inlineProse(text: string): Html {
  return markup`${text.split("`").map((part, i) => i % 2 === 1 ? markup`<code>${part}</code>` : part)}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function render(value: HtmlValue): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(render).join("");
  return String(value).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
