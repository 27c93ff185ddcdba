import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { type IncomingMessage, request, type RequestListener } from "node:http";
import { type Guarded, openRelay, type Relay } from "../../grpc-plugins/media/relay.ts";
import { test, type TestScope } from "../testing.ts";
import { give, startKeeper } from "./media-keeper.ts";

async function serve(t: TestScope, listener: RequestListener): Promise<Guarded> {
  const url = new URL("/v1/file/content?name=a", await startKeeper(t, listener));
  return { url, headers: { authorization: "Bearer secret" } };
}

async function relayTo(t: TestScope, file: Guarded): Promise<Relay> {
  const relay = await openRelay(file);
  t.after(() => relay[Symbol.dispose]());
  return relay;
}

interface Asked {
  readonly method?: string;
  readonly range?: string;
  /** Instead of the relay's own. */
  readonly password?: string | null;
}

/** Asks a relay as a program does that has it as its proxy. */
function ask({ env }: Relay, { method = "GET", range = "bytes=0-", password }: Asked = {}): Promise<IncomingMessage> {
  const proxy = new URL(env["http_proxy"]!);
  const login = Buffer.from(`task:${password ?? proxy.password}`).toString("base64");
  return new Promise((resolve, reject) => {
    request({
      host: proxy.hostname,
      port: proxy.port,
      agent: false,
      method,
      path: "http://stored.invalid/input.mp4",
      headers: {
        ...(password !== null && { "proxy-authorization": `Basic ${login}` }),
        range,
        authorization: "Bearer of whom it asks",
      },
    }).on("response", resolve).on("error", reject).end();
  });
}

async function read(answer: IncomingMessage): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of answer) parts.push(part);
  return Buffer.concat(parts);
}

const MIB = 1 << 20;

test("a relay gives one file from any byte on, with headers that only it knows, and counts what it read", async (t) => {
  const film = randomBytes(4 * MIB);
  const seen: unknown[] = [];
  const file = await serve(t, (request, response) => {
    const { method, url, headers } = request;
    seen.push([method, url, headers.range, headers["if-match"]]);
    assert.equal(headers.authorization, "Bearer secret");
    assert.equal("proxy-authorization" in headers, false);
    give(film, request, response);
  });
  const path = "/v1/file/content?name=a";
  for (
    const [from, parts] of [
      [0, [[0, MIB], [MIB, 3 * MIB], [3 * MIB, 7 * MIB]]],
      [MIB - 1, [[MIB - 1, 2 * MIB - 1], [2 * MIB - 1, 4 * MIB - 1], [4 * MIB - 1, 8 * MIB - 1]]],
      [3 * MIB, [[3 * MIB, 4 * MIB]]],
      [4 * MIB - 1, [[4 * MIB - 1, 5 * MIB - 1]]],
    ] as const
  ) {
    seen.length = 0;
    const relay = await relayTo(t, file);
    const answer = await ask(relay, { range: `bytes=${from}-` });
    assert.equal(answer.statusCode, 206);
    assert.deepEqual(
      ["content-range", "content-length", "content-type", "x-node"].map((name) => answer.headers[name]),
      [`bytes ${from}-${film.length - 1}/${film.length}`, String(film.length - from), "video/mp4", undefined],
    );
    assert.ok((await read(answer)).equals(film.subarray(from)));
    assert.equal(relay.readBytes, film.length - from);
    const expected = parts.map(([at, end], i) => ["GET", path, `bytes=${at}-${end - 1}`, i === 0 ? undefined : '"1"']);
    assert.deepEqual(seen, expected);
  }
});

test("a relay breaks off rather than to go on with another file, or with less of it", async (t) => {
  const film = randomBytes(4 * MIB);
  const others: RequestListener[] = [
    (_, response) => void response.writeHead(412).end(),
    (request, response) => give(randomBytes(5 * MIB), request, response),
    (_, response) => void response.writeHead(206, { "content-range": `bytes 1-9/${film.length}` }).end("less"),
  ];
  for (const other of others) {
    const file = await serve(t, (request, response) => {
      if (request.headers["if-match"] === undefined) give(film, request, response);
      else other(request, response);
    });
    const answer = await ask(await relayTo(t, file));
    await assert.rejects(read(answer));
  }
});

test("a relay gives nothing to who does not know its password, and nothing but reads to who does", async (t) => {
  let asked = 0;
  const file = await serve(t, (_, response) => {
    asked++;
    response.end("secret");
  });
  const relay = await relayTo(t, file);
  for (const password of [null, "", "0".repeat(64), "0".repeat(65)]) {
    const answer = await ask(relay, { password });
    assert.equal(answer.statusCode, 407, String(password));
    assert.equal((await read(answer)).length, 0);
  }
  for (const range of ["bytes=0-1", "bytes=-1", "bytes=0-,2-", "lines=0-"]) {
    assert.equal((await ask(relay, { range })).resume().statusCode, 416, range);
  }
  for (const method of ["POST", "PUT", "DELETE", "HEAD"]) {
    assert.equal((await ask(relay, { method })).resume().statusCode, 405, method);
  }
  assert.equal(asked, 0);
});

test("a relay passes on that a file is refused, follows no redirection, and says when nobody answers", async (t) => {
  for (const [status, given] of [[404, 404], [401, 401], [302, 502]] as const) {
    const file = await serve(t, (_, response) => void response.writeHead(status, { location: "/else" }).end("no"));
    assert.equal((await ask(await relayTo(t, file))).resume().statusCode, given);
  }
  const nobody = { url: new URL("http://127.0.0.1:1/"), headers: {} };
  assert.equal((await ask(await relayTo(t, nobody))).resume().statusCode, 502);
});

test("a relay reads no further than the program does, and not at all when it has gone", async (t) => {
  const piece = Buffer.alloc(1 << 16);
  let sent = 0;
  let ended = () => {};
  const end = new Promise<void>((resolve) => ended = resolve);
  const file = await serve(t, (_, response) => {
    const more = () => {
      // Without end, as fast as it is taken.
      while (!response.destroyed && response.write(piece)) sent += piece.length;
    };
    response.on("drain", more).on("close", () => ended());
    more();
  });
  const relay = await relayTo(t, file);
  const answer = await ask(relay);
  answer.pause();
  // It stands still when what lies between is full.
  for (let before = -1; before !== sent; await new Promise((resolve) => setTimeout(resolve, 300))) before = sent;
  assert.ok(sent < 64 << 20, `${sent} bytes are on their way`);
  answer.destroy();
  await end;
});

test("a relay that is closed cuts what it passes on, and answers nobody any more", async (t) => {
  let ended = () => {};
  const end = new Promise<void>((resolve) => ended = resolve);
  const file = await serve(t, (_, response) => {
    response.on("close", () => ended());
    response.writeHead(200, { "content-length": 10 }).write("01234");
  });
  const relay = await relayTo(t, file);
  const answer = await ask(relay);
  const reading = assert.rejects(read(answer));
  relay[Symbol.dispose]();
  await Promise.all([reading, end]);
  await assert.rejects(ask(relay));
});
