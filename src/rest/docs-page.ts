import type { ApiDocument, Endpoint, Operation, Parameter, Schema } from "./docs-model.ts";
import { endpointsOf, referenceOf } from "./docs-model.ts";
import { renderSamples } from "./docs-samples.ts";
import { html, inlineProse, prose } from "./html.ts";
import type { Html } from "./html.ts";
import { LOGO, page } from "./page.ts";
import { PROBLEMS } from "./problem.ts";
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
  const endpoints = endpointsOf(document);
  const groups = document.tags.map((tag) => ({
    ...tag,
    endpoints: endpoints.filter(({ operation }) => operation.tags.includes(tag.name)),
  }));
  const navigation = renderNavigation(groups);
  const needsToken = document.security !== undefined;
  return page({
    title: `${document.info.title}: REST API`,
    body: html`
      <a class="skip" href="#content">Skip to the content</a>
      <header class="top">
        <div>
          <a class="brand" href="/">${LOGO}Velas Sphere</a><span class="version">${document.info.version}</span>
          <nav aria-label="Pages"><a href="#errors">Errors</a><a href="/v1/openapi.json">OpenAPI</a></nav>
        </div>
      </header>
      <details class="menu"><summary>Contents</summary>${navigation}</details>
      <div class="layout">
        ${navigation}
        <main id="content">
          <section class="hero">
            <h1>${document.info.title}: REST API</h1>
            ${prose(document.info.description ?? "")}
            <dl>
              <dt>Address</dt>
              <dd><code>${origin}</code></dd>
              <dt>Access</dt>
              <dd>${needsToken
                ? html`
                  a token: <code>Authorization: Bearer …</code>, on every call but <code>/healthz</code>
                `
                : "no token; the node listens to this machine only"}</dd>
            </dl>
          </section>
          ${groups.map((group) =>
            html`
              <section class="group" id="${slug(group.name)}">
                <h2>${group.name}</h2>
                <p>${group.description}</p>
                ${group.endpoints.map((endpoint) => renderEndpoint(endpoint, document, origin))}
              </section>
            `
          )}
          <section class="plain" id="schemas">
            <h2>Schemas</h2>
            <p>What goes in and comes out as JSON.</p>
            ${Object.entries(document.components.schemas).map(([name, schema]) => renderSchema(name, schema))}
          </section>
          <section class="plain" id="errors">
            <h2>Errors</h2>
            <p>The <code>code</code> of a problem. The set is closed; a program can act on each.</p>
            <div class="errors">${Object.entries(PROBLEMS).map(([code, kind]) => renderError(code, kind))}</div>
          </section>
        </main>
      </div>
    `,
  });
}

interface Group {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

function renderNavigation(groups: readonly Group[]): Html {
  return html`
    <nav class="side" aria-label="Contents">
      ${groups.map((group) =>
        html`
          <h2>${group.name}</h2><ul>${group.endpoints.map(({ method, operation }) =>
            html`
              <li><a href="#${operation.operationId}"><span class="verb verb-${method}">${method === "delete"
                ? "DEL"
                : method.toUpperCase()}</span>${operation.summary}</a></li>
            `
          )}</ul>
        `
      )}<h2>Reference</h2>
      <ul>
        <li><a href="#schemas">Schemas</a></li>
        <li><a href="#errors">Errors</a></li>
      </ul>
    </nav>
  `;
}

function renderEndpoint(endpoint: Endpoint, document: ApiDocument, origin: string): Html {
  const { method, path, operation } = endpoint;
  return html`
    <article class="op" id="${operation.operationId}">
      <div>
        <h3><a href="#${operation.operationId}">${operation.summary}</a></h3>
        <div class="endpoint"><span class="badge verb-${method}">${method
          .toUpperCase()}</span><code>${path}</code></div>
        ${operation.description !== undefined && prose(operation.description)} ${renderParameters(
          operation.parameters ?? [],
        )} ${renderBody(operation)}
        <h4>Answers</h4>
        <ul class="answers">${Object.entries(operation.responses).map(renderAnswer)}</ul>
      </div>
      ${renderSamples(endpoint, document, origin)}
    </article>
  `;
}

function renderParameters(parameters: readonly Parameter[]): Html {
  const places = [["path", "In the path"], ["query", "In the query"]] as const;
  return html`
    ${places.map(([place, title]) => {
      const shown = parameters.filter((parameter) => parameter.in === place);
      if (shown.length === 0) return undefined;
      return html`
        <h4>${title}</h4><dl class="fields">${shown.map(({ name, schema, required, description }) =>
          renderField(name, { ...schema, ...(description === undefined ? {} : { description }) }, required === true)
        )}</dl>
      `;
    })}
  `;
}

function renderBody({ requestBody }: Operation): Html | undefined {
  if (requestBody === undefined) return undefined;
  return html`
    ${Object.entries(requestBody.content).map(([type, { schema = {} }]) => {
      const reference = referenceOf(schema);
      const what = reference === undefined ? schema.description : html`
        A <a href="#schema-${reference}">${reference}</a>.
      `;
      const media = type === "*/*" ? "any media type" : type;
      return html`
        <h4>Body <span class="note">· ${media}${requestBody.required !== true &&
          ", may be left out"}</span></h4><p>${what}</p>
      `;
    })}
  `;
}

function renderAnswer([status, { description, content }]: [string, Operation["responses"][string]]): Html {
  const isFailure = Object.keys(content ?? {}).includes("application/problem+json");
  const reference = referenceOf(Object.values(content ?? {})[0]?.schema ?? {});
  const what = isFailure
    ? html`
      <span class="codes">${codesIn(description).map((code) =>
        html`
          <a href="#error-${code}">${code}</a>
        `
      )}</span>
    `
    : html`
      <span>${inlineProse(description)} ${reference !== undefined && html`
        <a href="#schema-${reference}">${reference}</a>
      `}</span>
    `;
  return html`
    <li><span class="status ${Number(status) >= 400 && "bad"}">${status}</span>${what}</li>
  `;
}

/** The codes that a failure's description names between backquotes. */
function codesIn(description: string): readonly string[] {
  return description.split("`").filter((_, i) => i % 2 === 1);
}

function renderSchema(name: string, schema: Schema): Html {
  const fields = Object.entries(schema.properties ?? {});
  return html`
    <section class="schema" id="schema-${name}">
      <h3><a href="#schema-${name}">${name}</a></h3>
      ${schema.description !== undefined && html`
        <p>${inlineProse(schema.description)}</p>
      `} ${schema.enum !== undefined && html`
        <div class="values">${schema.enum.map((value) =>
          Object.hasOwn(PROBLEMS, String(value))
            ? html`
              <a href="#error-${String(value)}"><code>${String(value)}</code></a>
            `
            : html`
              <code>${String(value)}</code>
            `
        )}</div>
      `} ${fields.length > 0 &&
        html`
          <dl class="fields">${fields.map(([key, part]) =>
            renderField(key, part, schema.required?.includes(key) === true)
          )}</dl>
        `}
    </section>
  `;
}

function renderField(name: string, schema: Schema, required: boolean): Html {
  const nested = Object.entries(schema.properties ?? {});
  const limits = limitsText(schema);
  return html`
    <div>
      <dt><code>${name}</code><span class="type">${renderType(schema)}</span>${required && html`
        <span class="must">required</span>
      `}</dt>
      <dd>${inlineProse(schema.description ?? "")}${limits !== "" && html`
        <span class="limits">${limits}</span>
      `}${nested.length > 0 &&
        html`
          <dl class="fields">${nested.map(([key, part]) =>
            renderField(key, part, schema.required?.includes(key) === true)
          )}</dl>
        `}</dd>
    </div>
  `;
}

function renderType(schema: Schema): Html {
  const reference = referenceOf(schema);
  if (reference !== undefined) {
    return html`
      <a href="#schema-${reference}">${reference}</a>
    `;
  }
  if (schema.items !== undefined) {
    return html`
      array of ${renderType(schema.items)}
    `;
  }
  if (typeof schema.additionalProperties === "object") {
    return html`
      object of ${renderType(schema.additionalProperties)}
    `;
  }
  if (schema.anyOf !== undefined) {
    return html`
      ${schema.anyOf.map((part, i) =>
        html`
          ${i > 0 && " or "}${renderType(part)}
        `
      )}
    `;
  }
  const { type = "any", format } = schema;
  return html`
    ${typeof type === "string" ? type : type.join(" or ")}${format !== undefined && ` (${format})`}
  `;
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
  return html`
    <div class="error" id="error-${code}">
      <code>${code}</code><span class="status bad">${status}</span><p><b>${title}.</b> ${inlineProse(explanation)}</p>
    </div>
  `;
}

function slug(name: string): string {
  return `group-${name.toLowerCase()}`;
}
