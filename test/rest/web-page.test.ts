import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { gunzipSync } from "node:zlib";
import { NODE_ID, NOW, serve } from "./harness.ts";
import type { Served } from "./harness.ts";
import { test } from "../testing.ts";

const TOKEN = "correct-horse-battery-staple";
const COOKIE = `velas_session_${NODE_ID.slice(2, 10).toLowerCase()}`;
const BROWSER = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

/** A request whose headers are the test's own: fetch would keep Origin and Cookie to itself. */
function send(
  { port }: Served,
  path: string,
  { method = "GET", ...headers }: Record<string, string> & { method?: string },
): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path, method, headers }, async (answer) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of answer) pieces.push(piece as Uint8Array);
      resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(pieces) });
    });
    call.on("error", reject);
    call.end();
  });
}

async function logIn(served: Served): Promise<string> {
  const { status, headers } = await send(served, "/v1/session", { method: "POST", authorization: `Bearer ${TOKEN}` });
  assert.equal(status, 204);
  return headers["set-cookie"]![0]!;
}

test("the page and each of its files come with a policy that lets nothing foreign in", async (t) => {
  const served = await serve(t);
  const files = ["/", ...readdirSync("web/dist").filter((name) => name !== "index.html").map((name) => `/ui/${name}`)];
  assert.equal(files.length, 5);
  for (const path of files) {
    const { status, headers } = await send(served, path, BROWSER);
    assert.equal(status, 200, path);
    const policy = String(headers["content-security-policy"]);
    assert.match(policy, /default-src 'none'/, path);
    assert.match(policy, /frame-ancestors 'none'/, path);
    assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/, path);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
  }
});

/** Addresses that name a kind of thing and are never opened: namespaces of XML, and of events in HLS. */
const IDENTIFIERS = /http:\/\/www\.w3\.org\/\S+?(?=["'`])|https:\/\/aomedia\.org\/emsg\/ID3/g;

test("the page holds no inline script or style and names no other host", () => {
  const html = readFileSync("web/dist/index.html", "utf8");
  assert.doesNotMatch(html, /<style|\son\w+=|style=|<script(?![^>]*\ssrc=)/i);
  for (const name of readdirSync("web/dist")) {
    const text = readFileSync(`web/dist/${name}`, "utf8").replaceAll(IDENTIFIERS, "");
    assert.doesNotMatch(text, /["'`(](?:https?:)?\/\/[a-z0-9-]+\.[a-z]{2,}/i, name);
  }
});

test("the page's files are sent compressed to those who take it, and not at all to those who have them", async (t) => {
  const served = await serve(t);
  const plain = await send(served, "/ui/app.js", {});
  const packed = await send(served, "/ui/app.js", { "accept-encoding": "br, gzip" });
  assert.equal(packed.headers["content-encoding"], "gzip");
  assert.deepEqual(gunzipSync(packed.body), Buffer.from(plain.body));
  assert.notEqual(packed.headers.etag, plain.headers.etag);
  const again = await send(served, "/ui/app.js", { "if-none-match": plain.headers.etag! });
  assert.deepEqual([again.status, again.body.length], [304, 0]);
});

test("a file that the page does not have is not found, however it is asked for", async (t) => {
  const served = await serve(t);
  for (const path of ["/ui/index.js", "/ui/..%2f..%2fpackage.json", "/ui/constructor", "/ui/", "/ui/../src/main.ts"]) {
    const { status } = await send(served, path, {});
    assert.equal(status, 404, path);
  }
});

test("with a token the page and its files are open, and the answer for programs is not", async (t) => {
  const served = await serve(t, { token: TOKEN });
  assert.equal((await send(served, "/", BROWSER)).status, 200);
  assert.equal((await send(served, "/ui/app.css", {})).status, 200);
  assert.equal((await send(served, "/", { accept: "application/json" })).status, 401);
  assert.equal((await send(served, "/", { ...BROWSER, method: "POST" })).status, 401);
  assert.equal((await send(served, "/ui/app.css/../../v1/tasks", {})).status, 401);
});

test("the token buys a cookie that scripts cannot read and other sites cannot send", async (t) => {
  const served = await serve(t, { token: TOKEN });
  const cookie = await logIn(served);
  assert.match(cookie, new RegExp(`^${COOKIE}=`));
  for (const attribute of ["HttpOnly", "SameSite=Strict", "Path=/"]) assert.ok(cookie.includes(attribute), cookie);
  assert.ok(!cookie.includes(TOKEN));
  const session = cookie.split(";")[0]!;
  assert.equal((await send(served, "/v1/tasks", { cookie: `other=1; ${session}; more=2` })).status, 200);
});

test("nobody gets a cookie without the token", async (t) => {
  const served = await serve(t, { token: TOKEN });
  for (const authorization of ["", "Bearer wrong-token-of-some-length"]) {
    const answer = await send(served, "/v1/session", { method: "POST", authorization });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers["set-cookie"], undefined);
  }
});

test("a login changes nothing without an Origin, and nothing from a foreign one", async (t) => {
  const served = await serve(t, { token: TOKEN });
  const cookie = (await logIn(served)).split(";")[0]!;
  const own = `http://127.0.0.1:${served.port}`;
  const cancel = (headers: Record<string, string>) =>
    send(served, "/v1/tasks/job-1/cancel", { method: "POST", cookie, ...headers });
  assert.equal((await cancel({})).status, 401);
  assert.equal((await cancel({ origin: "https://evil.example" })).status, 403);
  assert.equal((await cancel({ origin: "http://127.0.0.1:1" })).status, 403);
  assert.equal((await cancel({ origin: "null" })).status, 403);
  assert.equal((await cancel({ origin: own })).status, 200);
});

test("a login ends after twelve hours, with another token, and when it was altered", async (t) => {
  let now = NOW;
  const clock = { now: () => now };
  const loginKey = new Uint8Array(32).fill(7);
  const served = await serve(t, { token: TOKEN, clock, loginKey });
  const session = (await logIn(served)).split(";")[0]!;
  const status = async (where: Served, cookie: string) => (await send(where, "/v1/tasks", { cookie })).status;
  now += 12 * 3_600_000 - 1;
  assert.equal(await status(served, session), 200);
  now += 1;
  assert.equal(await status(served, session), 401);
  now = NOW;
  const [name, value] = session.split("=") as [string, string];
  const [endsAt, digest, mac] = value.split(".") as [string, string, string];
  const no = "A".repeat(43);
  const forgeries = [
    `${Number(endsAt) + 1}.${digest}.${mac}`,
    `${endsAt}.${digest}.${no}`,
    `${endsAt}.${no}.${mac}`,
    `${endsAt}.${mac}`,
    `${endsAt}.`,
    "",
    endsAt,
  ];
  for (const forged of forgeries) {
    assert.equal(await status(served, `${name}=${forged}`), 401, forged);
  }
  const again = await serve(t, { token: TOKEN, clock, loginKey });
  assert.equal(await status(again, session), 200, "a login outlives a restart");
  const other = await serve(t, { token: "another-token-of-some-length", clock, loginKey });
  assert.equal(await status(other, session), 401);
});

test("a wrong Authorization is not mended by a good cookie", async (t) => {
  const served = await serve(t, { token: TOKEN });
  const cookie = (await logIn(served)).split(";")[0]!;
  assert.equal((await send(served, "/v1/tasks", { cookie, authorization: "Bearer wrong" })).status, 401);
});

test("logging out takes the cookie away", async (t) => {
  const served = await serve(t, { token: TOKEN });
  const cookie = (await logIn(served)).split(";")[0]!;
  const origin = `http://127.0.0.1:${served.port}`;
  const { status, headers } = await send(served, "/v1/session", { method: "DELETE", cookie, origin });
  assert.equal(status, 204);
  assert.match(headers["set-cookie"]![0]!, /Max-Age=0/);
});

test("/v1/config shows values with their sources, and of secrets only that they are set", async (t) => {
  const served = await serve(t, {
    settings: () => [
      {
        key: "rest.token",
        value: "hunter2hunter2hunter2",
        secret: true,
        source: "environment",
        description: "A token",
      },
      { key: "tasks.maxQueued", value: "7", secret: false, source: "--tasks-max-queued", description: "Waiting" },
      { key: "rpc.tlsKeyFile", secret: false, source: "default", description: "A key" },
    ],
  });
  const { body } = await send(served, "/v1/config", {});
  const text = Buffer.from(body).toString();
  assert.doesNotMatch(text, /hunter2/);
  const { settings } = JSON.parse(text) as { settings: { key: string; isSet: boolean; value?: string }[] };
  assert.deepEqual(settings.map(({ key, isSet, value }) => [key, isSet, value]), [
    ["rest.token", true, undefined],
    ["tasks.maxQueued", true, "7"],
    ["rpc.tlsKeyFile", false, undefined],
  ]);
});
