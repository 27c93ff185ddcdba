import type { Answer, ApiDocument, Endpoint, Operation, Parameter, RequestBody, Schema } from "./docs-model.ts";
import { endpointsOf, referenceOf } from "./docs-model.ts";
import { renderSamples } from "./docs-samples.ts";
import { inlineProse, markup, prose } from "./html.ts";
import type { Html } from "./html.ts";
import { LOGO, page } from "./page.ts";
import { COMMON_FAILURES } from "./openapi.ts";
import { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
import type { ProblemKind } from "./problem.ts";

export interface DocsOptions {
  /** How the reader reaches the node, for the examples. */
  readonly origin: string;
}

/**
 * Renders an OpenAPI document as one page that stands alone: it has no script and asks nothing of anybody, so it works on
 * a machine without a network and under the strictest content security policy.
 */
export function renderDocs(source: object, { origin }: DocsOptions): string {
  const document = source as ApiDocument;
  const { info, tags, components, security } = document;
  const endpoints = endpointsOf(document);
  const groups = tags.map((tag) => ({
    ...tag,
    endpoints: endpoints.filter(({ operation }) => operation.tags.includes(tag.name)),
  }));
  const navigation = renderNavigation(groups);
  const access = security === undefined
    ? "no token is set"
    : markup`a token: <code>Authorization: Bearer &hellip;</code>, on every call but <code>/healthz</code>`;
  const body = markup`<a class="skip" href="#content">Skip to the content</a>
<header class="top"><div>
  <a class="brand" href="/">${LOGO}Velas Sphere</a><span class="version">${info.version}</span>
  <nav aria-label="Pages"><a href="#errors">Errors</a><a href="/v1/openapi.json">OpenAPI</a></nav>
</div></header>
<details class="menu"><summary>Contents</summary>${navigation}</details>
<div class="layout">
${navigation}
<main id="content">
<section class="hero">
  <h1>${info.title}: REST API</h1>
  ${prose(info.description ?? "")}
  <dl><dt>Address</dt><dd><code>${origin}</code></dd><dt>Access</dt><dd>${access}</dd>
  <dt>Errors</dt><dd>each call lists its own; ${
    COMMON_FAILURES.map((code, i) => [i > 0 && ", ", markup`<a href="#error-${code}"><code>${code}</code></a>`])
  } can come from any</dd></dl>
</section>
${
    groups.map((group) =>
      markup`<section class="group"><h2>${group.name}</h2><p>${group.description}</p>
${group.endpoints.map((endpoint) => renderEndpoint(endpoint, document, origin))}</section>`
    )
  }
<section class="plain" id="schemas"><h2>Schemas</h2><p>What goes in and comes out as JSON.</p>
${Object.entries(components.schemas).map(([name, schema]) => renderSchema({ name, schema }, document))}
</section>
<section class="plain" id="errors"><h2>Errors</h2>
<p>The <code>code</code> of a problem. The set is closed; a program can act on each.</p>
<div class="errors">${Object.entries(PROBLEMS).map(([code, kind]) => renderError(code, kind))}</div>
</section>
</main>
</div>`;
  return page({ title: `${info.title}: REST API`, body });
}

interface Group {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

function renderNavigation(groups: readonly Group[]): Html {
  const items = (group: Group) =>
    group.endpoints.map(({ method, operation: { operationId, summary } }) =>
      markup`<li><a href="#${operationId}"><span class="verb verb-${method}">${SHORT_VERBS[method] ?? method}</span>${
        inlineProse(summary)
      }</a></li>`
    );
  return markup`<nav class="side" aria-label="Contents">${
    groups.map((group) => markup`<h2>${group.name}</h2><ul>${items(group)}</ul>`)
  }<h2>Reference</h2><ul><li><a href="#schemas">Schemas</a></li><li><a href="#errors">Errors</a></li></ul></nav>`;
}

const SHORT_VERBS: Readonly<Record<string, string>> = { delete: "del" };

function renderEndpoint(endpoint: Endpoint, document: ApiDocument, origin: string): Html {
  const { method, path, operation } = endpoint;
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation;
  return markup`<article class="op" id="${operationId}">
<div>
  <h3><a href="#${operationId}">${summary}</a></h3>
  <div class="endpoint"><span class="badge verb-${method}">${method}</span><code>${path}</code></div>
  ${description !== undefined && prose(description)}
  ${renderScopes(operation)}
  ${renderParameters("In the path", document, parameters.filter((parameter) => parameter.in === "path"))}
  ${renderParameters("In the query", document, parameters.filter((parameter) => parameter.in === "query"))}
  ${requestBody && renderBody(requestBody, document)}
  ${renderAnswers(responses)}
</div>
${renderSamples(endpoint, document, origin)}
</article>`;
}

function renderScopes({ "x-scopes": scopes }: Operation): Html {
  if (scopes === undefined) return markup`<p class="note">Needs no token.</p>`;
  if (scopes.length === 0) return markup`<p class="note">Any token.</p>`;
  const names = scopes.map((scope, place) => markup`${place > 0 && " or "}<code>${scope}</code>`);
  return markup`<p class="note">Scope ${names}</p>`;
}

function renderParameters(title: string, document: ApiDocument, parameters: readonly Parameter[]): Html | undefined {
  if (parameters.length === 0) return undefined;
  const fields = parameters.map(({ name, schema, required = false, description = "" }) =>
    renderField({ name, schema: { ...schema, description }, required }, document)
  );
  return markup`<h4>${title}</h4><dl class="fields">${fields}</dl>`;
}

function renderBody({ content, required = false }: RequestBody, document: ApiDocument): Html {
  const title = (type: string) => `${type === "*/*" ? "any media type" : type}${required ? "" : ", may be left out"}`;
  return markup`${
    Object.entries(content).map(([type, { schema = {} }]) => {
      const reference = referenceOf(schema);
      const members = reference !== undefined && document.components.schemas[reference];
      const what = members
        ? markup`<details class="members"><summary>${reference}</summary>${
          renderProperties(members, document)
        }</details>`
        : markup`<p>${schema.description}</p>`;
      return markup`<h4>Body <span class="note">&middot; ${title(type)}</span></h4>${what}`;
    })
  }`;
}

function renderAnswers(responses: Operation["responses"]): Html {
  const all = Object.entries(responses);
  const isFailure = (answer: Answer) => Object.hasOwn(answer.content ?? {}, PROBLEM_TYPE);
  const good = all.filter(([, answer]) => !isFailure(answer));
  const bad = all.filter(([, answer]) => isFailure(answer)).map(([status, { description }]) => ({
    status,
    codes: codesIn(description).filter((code) => !COMMON_FAILURES.some((common) => common === code)),
  }));
  return markup`<h4>Answers</h4><ul class="answers">${
    good.map(([status, { description, content = {} }]) =>
      markup`<li>${renderStatus(status)}<span>${inlineProse(description)} ${
        schemaLink(Object.values(content)[0]?.schema ?? {})
      }</span></li>`
    )
  }</ul>
<ul class="failures">${
    bad.filter(({ codes }) => codes.length > 0).map(({ status, codes }) =>
      markup`<li>${renderStatus(status)} ${codes.map((code) => markup`<a href="#error-${code}">${code}</a> `)}</li>`
    )
  }</ul>`;
}

function renderStatus(status: string | number): Html {
  return markup`<span class="status ${Number(status) >= 400 && "bad"}">${status}</span>`;
}

/** The codes that a failure's description names between backquotes. */
function codesIn(description: string): readonly string[] {
  return description.split("`").filter((_, i) => i % 2 === 1);
}

function schemaLink(schema: Schema): Html | undefined {
  const reference = referenceOf(schema);
  return reference === undefined ? undefined : markup`<a href="#schema-${reference}">${reference}</a>`;
}

function renderSchema({ name, schema }: NamedSchema, document: ApiDocument): Html {
  return markup`<section class="schema" id="schema-${name}">
<h3><a href="#schema-${name}">${name}</a></h3>
${schema.description !== undefined && markup`<p>${inlineProse(schema.description)}</p>`}
${schema.enum && markup`<div class="values">${schema.enum.map((value) => renderValue(String(value)))}</div>`}
${renderProperties(schema, document)}
</section>`;
}

/** A value of an enumeration; an error's code leads to its explanation. */
function renderValue(value: string): Html {
  const code = markup`<code>${value}</code>`;
  return Object.hasOwn(PROBLEMS, value) ? markup`<a href="#error-${value}">${code}</a>` : code;
}

function renderProperties({ properties = {}, required = [] }: Schema, document: ApiDocument): Html | undefined {
  const fields = Object.entries(properties).map(([name, schema]) =>
    renderField({ name, schema, required: required.includes(name) }, document)
  );
  return fields.length === 0 ? undefined : markup`<dl class="fields">${fields}</dl>`;
}

interface NamedSchema {
  readonly name: string;
  readonly schema: Schema;
}

function renderField({ name, schema, required }: NamedSchema & { required: boolean }, document: ApiDocument): Html {
  const limits = limitsText(schema);
  // What only refers to a component is described there.
  const component = document.components.schemas[referenceOf(schema) ?? ""];
  const description = schema.description ?? component?.description ?? "";
  return markup`<div><dt><code>${name}</code> <span class="type">${renderType(schema)}</span>${
    required && markup` <span class="must">required</span>`
  }</dt><dd>${inlineProse(description)}${limits !== "" && markup` <span class="limits">${limits}</span>`}${
    renderProperties(schema, document)
  }</dd></div>`;
}

function renderType(schema: Schema): Html {
  const { items, additionalProperties, anyOf, type = "any", format } = schema;
  const link = schemaLink(schema);
  if (link !== undefined) return link;
  if (items !== undefined) return markup`array of ${renderType(items)}`;
  if (typeof additionalProperties === "object") return markup`object of ${renderType(additionalProperties)}`;
  if (anyOf !== undefined) return markup`${anyOf.map((part, i) => [i > 0 && " or ", renderType(part)])}`;
  return markup`${typeof type === "string" ? type : type.join(" or ")}${format !== undefined && ` (${format})`}`;
}

function limitsText(schema: Schema): string {
  const { minimum, maximum, minLength, maxLength, pattern, maxItems } = schema;
  const limits: string[] = [];
  if (schema.enum !== undefined) limits.push(`one of ${schema.enum.join(", ")}`);
  if (minimum !== undefined && maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) {
    limits.push(`${grouped(minimum)} to ${grouped(maximum)}`);
  } else if (minimum !== undefined && minimum !== 0) limits.push(`from ${grouped(minimum)}`);
  if (maxLength !== undefined) limits.push(`${minLength ?? 0} to ${maxLength} characters`);
  if (maxItems !== undefined) limits.push(`at most ${maxItems}`);
  if (pattern !== undefined && pattern.length <= 40) limits.push(`matches ${pattern}`);
  const text = limits.join("; ");
  return text === "" ? "" : `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** A number with its thousands apart. */
function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, "\u202f");
}

function renderError(code: string, { status, title, explanation }: ProblemKind): Html {
  return markup`<div class="error" id="error-${code}"><code>${code}</code>${renderStatus(status)}
<p><b>${title}.</b> ${inlineProse(explanation)}</p></div>`;
}
