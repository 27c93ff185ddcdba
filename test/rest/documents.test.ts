import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { markup, prose, trustedHtml } from "../../src/rest/html.ts";
import { restReference } from "../../tools/rest-reference.ts";
import { PROBLEMS } from "../../src/rest/mod.ts";
import { Landing } from "../../src/rest/node-schemas.ts";
import { PluginRef } from "../../src/rest/plugin-schemas.ts";
import { Target } from "../../src/rest/schema-fields.ts";
import { TaskId, TaskResult } from "../../src/rest/task-schemas.ts";
import { TaskSpec } from "../../src/rest/task-spec-schemas.ts";
import { NODE_ID, serve } from "./harness.ts";

const HTML = { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } };

// deno-lint-ignore no-explicit-any -- a document of somebody's grammar, looked at in places
type Json = any;

async function openApi(url: string): Promise<Json> {
  return await (await fetch(`${url}/v1/openapi.json`)).json();
}

test("every route of the application is in the OpenAPI document, and the other way round", async (t) => {
  const { url, app } = await serve(t);
  const registered = app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)(?:\{[^}]*\})?/g, "{$1}")}`);
  const documented = Object.entries<object>((await openApi(url)).paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  assert.deepEqual(documented.toSorted(), registered.toSorted());
});

test("docs/rest-api.md is what the routes generate (npm run gen writes it), and has each of them", async (t) => {
  const page = readFileSync(new URL("../../docs/rest-api.md", import.meta.url), "utf8");
  assert.equal(page, restReference());
  const { url } = await serve(t);
  for (const [path, methods] of Object.entries<object>((await openApi(url)).paths)) {
    for (const method of Object.keys(methods)) {
      assert.ok(page.includes(`\n### ${method.toUpperCase()} ${path}\n`), path);
    }
  }
});

test("the OpenAPI document is well formed", async (t) => {
  const { url } = await serve(t);
  const document = await openApi(url);
  assert.match(document.openapi, /^3\.1\./);
  assert.ok(document.info.title && document.info.version);
  const tags = document.tags.map((tag: Json) => tag.name);
  const ids = new Set<string>();
  for (const [path, methods] of Object.entries<Json>(document.paths)) {
    for (const [method, operation] of Object.entries<Json>(methods)) {
      const where = `${method} ${path}`;
      assert.ok(operation.summary && operation.operationId, where);
      assert.ok(!ids.has(operation.operationId), `${where}: operationId twice`);
      ids.add(operation.operationId);
      assert.ok(operation.tags.every((tag: string) => tags.includes(tag)), where);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const parameters = operation.parameters ?? [];
      assert.deepEqual(parameters.filter((p: Json) => p.in === "path").map((p: Json) => p.name), inPath, where);
      for (const parameter of parameters) {
        const needed = parameter.in === "path" || parameter.name === "name";
        assert.equal(parameter.required, needed, `${where} ${parameter.name}`);
        assert.ok(parameter.description, `${where} ${parameter.name} has a description`);
        assert.ok(parameter.schema.examples?.length > 0, `${where} ${parameter.name} has an example`);
      }
      const statuses = Object.keys(operation.responses);
      assert.ok(statuses.some((status) => status.startsWith("2")), where);
      for (const [status, answer] of Object.entries<Json>(operation.responses)) {
        assert.match(status, /^[2-5]\d\d$/);
        assert.ok(answer.description, `${where} ${status}`);
      }
    }
  }
});

test("every reference resolves, every property has a description and every leaf an example", async (t) => {
  const { url } = await serve(t);
  const document = await openApi(url);
  const used = new Set<string>();
  const visit = (value: Json, where: string): void => {
    if (typeof value !== "object" || value === null) return;
    if (typeof value.$ref === "string") {
      const name = value.$ref.replace("#/components/schemas/", "");
      assert.ok(document.components.schemas[name], `${where}: ${value.$ref}`);
      used.add(name);
    }
    for (const [key, part] of Object.entries<Json>(value)) {
      if (key === "examples") continue;
      visit(part, `${where}.${key}`);
    }
    for (const [name, property] of Object.entries<Json>(value.type === "object" ? value.properties ?? {} : {})) {
      if (property.$ref !== undefined) continue;
      assert.ok(property.description, `${where}.${name} has a description`);
      const isLeaf = property.properties === undefined && property.items === undefined && property.enum === undefined;
      if (isLeaf) assert.ok(property.examples?.length > 0, `${where}.${name} has an example`);
    }
  };
  visit(document, "");
  assert.deepEqual(Object.keys(document.components.schemas).filter((name) => !used.has(name)), []);
});

test("the examples of request bodies are accepted by the schemas", () => {
  for (const schema of [TaskSpec, TaskId, Target, PluginRef, TaskResult]) {
    const { examples } = schema.meta() as { examples?: unknown[] } ?? {};
    for (const example of examples ?? []) schema.parse(example);
  }
});

test("with a token the document says so, and that /healthz wants none", async (t) => {
  const { url } = await serve(t, { token: "t".repeat(16) });
  const answer = await fetch(`${url}/v1/openapi.json`, { headers: { authorization: `Bearer ${"t".repeat(16)}` } });
  const document = await answer.json();
  assert.deepEqual(document.security, [{ token: [] }]);
  assert.deepEqual(document.components.securitySchemes.token, { type: "http", scheme: "bearer" });
  assert.deepEqual(document.paths["/healthz"].get.security, []);
});

test("the documentation shows every operation, schema and error, under a policy that forbids everything else", async (t) => {
  const { url } = await serve(t);
  const answer = await fetch(`${url}/v1/docs`, HTML);
  assert.equal(answer.headers.get("content-type"), "text/html; charset=utf-8");
  const page = await answer.text();
  const document = await openApi(url);
  const anchors = [
    ...Object.values<Json>(document.paths).flatMap((methods) =>
      Object.values<Json>(methods).map((operation) => operation.operationId)
    ),
    ...Object.keys(document.components.schemas).map((name) => `schema-${name}`),
    ...Object.keys(PROBLEMS).map((code) => `error-${code}`),
  ];
  for (const anchor of anchors) assert.ok(page.includes(`id="${anchor}"`), anchor);
  for (const [, anchor] of page.matchAll(/href="#([^"]+)"/g)) assert.ok(page.includes(`id="${anchor}"`), `#${anchor}`);
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);

  const policy = answer.headers.get("content-security-policy") ?? "";
  const style = /<style>([^]*?)<\/style>/.exec(page)?.[1] ?? "";
  assert.ok(policy.includes(`'sha256-${createHash("sha256").update(style).digest("base64")}'`), policy);
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(page, /<script|javascript:| on\w+=|<iframe| style="/i);
  for (const [, address] of page.matchAll(/(?:src|href)="([^"#][^"]*)"/g)) assert.match(address!, /^(\/|data:image)/);
});

test("the documentation's commands reach the node as the reader does, and are not changed by a strange Host", async (t) => {
  const { url } = await serve(t);
  const page = await (await fetch(`${url}/v1/docs`)).text();
  assert.ok(page.includes(`curl ${url}/v1/plugins`));
  assert.ok(page.includes("curl -X DELETE"));
  assert.match(page, /curl -N \S/);
});

test("an unchanged page is not sent twice", async (t) => {
  const { url } = await serve(t);
  const first = await fetch(`${url}/v1/docs`);
  await first.body?.cancel();
  const again = await fetch(`${url}/v1/docs`, { headers: { "if-none-match": first.headers.get("etag")! } });
  assert.deepEqual([again.status, await again.text()], [304, ""]);
});

test("GET / is a page for browsers and JSON for everybody else", async (t) => {
  const { url } = await serve(t);
  const landing = Landing.parse(await (await fetch(url)).json());
  assert.equal(landing.nodeId, NODE_ID);
  for (const path of Object.values(landing.links)) {
    const answer = await fetch(url + path);
    assert.equal(answer.status, 200, path);
    await answer.body?.cancel();
  }
  assert.ok(!("payments" in landing.links), "no link to what this node lacks");
  const page = await fetch(url, HTML);
  assert.match(page.headers.get("content-type")!, /^text\/html/);
  assert.match(page.headers.get("vary")!, /Accept/);
  assert.match(await page.text(), /<div id="app">/);
});

test("markup escapes everything but markup", () => {
  const evil = `<img src=x onerror="alert('1')">&`;
  const escaped = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;";
  assert.equal(markup`<p title="${evil}">${evil}</p>`.text, `<p title="${escaped}">${escaped}</p>`);
  assert.equal(markup`${[evil, markup`<b>${1}</b>`, undefined, false]}`.text, `${escaped}<b>1</b>`);
  assert.equal(markup`${trustedHtml("<i>")}`.text, "<i>");
  assert.equal(prose("a `<b>` c\n\nd").text, "<p>a <code>&lt;b&gt;</code> c</p><p>d</p>");
});
