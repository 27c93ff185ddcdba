import assert from "node:assert/strict";
import { test } from "node:test";
import { Plugin, PluginList } from "../../src/rest/plugin-schemas.ts";
import { postJson, serve, SHA256 } from "./harness.ts";

const WASM = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

function upload(url: string, query = "", body: Uint8Array = WASM, type = "application/wasm"): Promise<Response> {
  return fetch(`${url}/v1/plugins${query}`, {
    method: "POST",
    headers: { "content-type": type },
    body: body as BodyInit,
  });
}

test("GET /v1/plugins lists, GET /v1/plugins/{ref} shows one", async (t) => {
  const { url } = await serve(t);
  const { plugins } = PluginList.parse(await (await fetch(`${url}/v1/plugins`)).json());
  assert.deepEqual(plugins.map(({ name }) => name), ["demo"]);
  const one = await fetch(`${url}/v1/plugins/demo%401.0.0`);
  assert.equal(Plugin.parse(await one.json()).sizeBytes, 16_384);
  const none = await fetch(`${url}/v1/plugins/demp`);
  assert.equal(none.status, 404);
  assert.equal((await none.json()).code, "plugin_not_found");
});

test("POST /v1/plugins installs an uploaded module", async (t) => {
  const { url, plugins } = await serve(t);
  const answer = await upload(url, `?sha256=${SHA256}`);
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get("location"), "/v1/plugins/fresh%401.0.0");
  assert.equal(Plugin.parse(await answer.json()).name, "fresh");
  assert.equal((await upload(url)).status, 201);
  assert.deepEqual(plugins.installed, [{ bytes: 8, sha256: SHA256 }, { bytes: 8, sha256: undefined }]);
});

test("POST /v1/plugins installs from a URL with a digest", async (t) => {
  const { url, plugins } = await serve(t);
  const source = { url: "https://plugins.example/x.wasm", sha256: SHA256 };
  const answer = await postJson(`${url}/v1/plugins`, source);
  assert.equal(answer.status, 201);
  assert.deepEqual(plugins.installed, [source]);
});

test("POST /v1/plugins refuses what is no module, another type, a bad digest or URL, or too much", async (t) => {
  const { url, plugins } = await serve(t, { limits: { maxBodyBytes: 1000 } });
  const text = new TextEncoder().encode("hello");
  const cases: [answer: Promise<Response>, status: number, names: RegExp][] = [
    [upload(url, "", text), 422, /no WASM module/],
    [upload(url, "", WASM, "text/plain"), 415, /application\/wasm/],
    [upload(url, "?sha256=abc"), 400, /sha256/],
    [upload(url, `?sha256=${SHA256.toUpperCase()}`), 400, /sha256/],
    [upload(url, "", new Uint8Array(1001)), 413, /1000/],
    [postJson(`${url}/v1/plugins`, { url: "https://x.example/y" }), 400, /sha256/],
    [postJson(`${url}/v1/plugins`, { url: "file:///etc/passwd", sha256: SHA256 }), 400, /url/],
    [postJson(`${url}/v1/plugins`, { url: "no url", sha256: SHA256 }), 400, /url/],
  ];
  for (const [pending, status, names] of cases) {
    const answer = await pending;
    const problem = await answer.json();
    assert.equal(answer.status, status, problem.detail);
    assert.match(problem.detail, names);
  }
  assert.deepEqual(plugins.installed, [{ bytes: 5, sha256: undefined }]);
});

test("PATCH switches a plugin, DELETE removes it", async (t) => {
  const { url } = await serve(t);
  const patch = (body: unknown, ref = "demo") =>
    fetch(`${url}/v1/plugins/${ref}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  assert.equal(Plugin.parse(await (await patch({ enabled: false })).json()).enabled, false);
  assert.equal((await patch({ enabled: "no" })).status, 400);
  assert.equal((await patch({})).status, 400);
  assert.equal((await patch({ enabled: true }, "demp")).status, 404);
  const removed = await fetch(`${url}/v1/plugins/demo`, { method: "DELETE" });
  assert.deepEqual([removed.status, await removed.text()], [204, ""]);
  const again = await fetch(`${url}/v1/plugins/demo`, { method: "DELETE" });
  assert.equal(again.status, 404);
  await again.body?.cancel();
});
