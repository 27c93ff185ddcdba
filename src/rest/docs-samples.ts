import { exampleOf } from "./docs-model.ts";
import type { ApiDocument, Content, Endpoint } from "./docs-model.ts";
import { markup } from "./html.ts";
import type { Html } from "./html.ts";

/** A call and its answer, to look at and to copy. */
export function renderSamples(endpoint: Endpoint, document: ApiDocument, origin: string): Html {
  const call = curlOf(endpoint, document, origin);
  const answer = answerOf(endpoint, document);
  return markup`<div class="samples">
${figure("call", "Request", markup`${call}`)}
${answer && figure("answer", answer.caption, answer.body)}
</div>`;
}

function figure(kind: "call" | "answer", caption: string, code: Html): Html {
  return markup`<figure class="sample ${kind}"><figcaption>${caption}</figcaption>
<pre tabindex="0"><code>${code}</code></pre></figure>`;
}

/** The command that makes the call with the examples of its parameters. */
export function curlOf({ method, path, operation }: Endpoint, document: ApiDocument, origin: string): string {
  const parameters = operation.parameters ?? [];
  const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = parameters.find((one) => one.in === "path" && one.name === name);
    return encodeURIComponent(String(parameter === undefined ? name : exampleOf(parameter.schema, document)));
  });
  const parts = ["curl"];
  const isStream = Object.values(operation.responses).some(({ content }) =>
    content?.["text/event-stream"] !== undefined
  );
  if (isStream) parts.push("-N");
  const body = bodyOf(operation.requestBody?.content, document);
  const optionalBody = operation.requestBody?.required !== true && body?.type === "application/json";
  const sends = body !== undefined && !optionalBody;
  if (method !== (sends ? "post" : "get")) parts.push(`-X ${method.toUpperCase()}`);
  if (document.security !== undefined && operation.security?.length !== 0) {
    parts.push('-H "Authorization: Bearer $TOKEN"');
  }
  // The calls of the original take JSON under the type that curl sends by itself.
  if (sends && body.type !== undefined && !operation.tags.includes("Compatibility")) {
    parts.push(`-H 'Content-Type: ${body.type}'`);
  }
  if (sends) parts.push(body.flag);
  parts.push(origin + place);
  const line = parts.join(" ");
  return line.length <= 58 ? line : parts.join(" \\\n  ").replace("curl \\\n  ", "curl ");
}

interface SampleBody {
  readonly type: string | undefined;
  readonly flag: string;
}

function bodyOf(content: Content | undefined, document: ApiDocument): SampleBody | undefined {
  const first = Object.entries(content ?? {})[0];
  if (first === undefined) return undefined;
  const [type, { schema }] = first;
  if (type === "application/json") return { type, flag: `-d '${JSON.stringify(exampleOf(schema ?? {}, document))}'` };
  const flag = `--data-binary ${String(exampleOf(schema ?? {}, document))}`;
  return { type: type === "*/*" ? undefined : type, flag };
}

function answerOf({ operation }: Endpoint, document: ApiDocument): { caption: string; body: Html } | undefined {
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  if (success === undefined) return undefined;
  const [status, { content }] = success;
  const [type, media] = Object.entries(content ?? {})[0] ?? [];
  if (type === undefined || media?.schema === undefined) return undefined;
  const example = exampleOf(media.schema, document);
  if (type === "application/json") {
    return { caption: `Answer ${status} · ${type}`, body: coloured(JSON.stringify(example, null, 2)) };
  }
  if (type === "text/html") return undefined;
  const caption = type === "*/*" ? `Answer ${status}` : `Answer ${status} · ${type}`;
  return { caption, body: markup`${String(example)}` };
}

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|([{}[\],]+)/g;

/** JSON with its names, texts and numbers told apart. */
function coloured(text: string): Html {
  const pieces: Html[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    pieces.push(markup`${text.slice(end, match.index)}`);
    const [whole, string, colon, word] = match;
    if (string !== undefined && colon !== undefined) pieces.push(markup`<span class="k">${string}</span>${colon}`);
    else if (string !== undefined) pieces.push(markup`<span class="s">${string}</span>`);
    else pieces.push(markup`<span class="${word === undefined ? "p" : "n"}">${whole}</span>`);
    end = match.index + whole.length;
  }
  return markup`${pieces}${text.slice(end)}`;
}
