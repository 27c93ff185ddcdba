import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  type File,
  FileEventType,
  FileService,
  FileState,
  type PutFileOrderSchema,
  type PutFileRequestSchema,
  ShardState,
} from "../../src/gen/velas/sphere/v1/file_pb.ts";
import { type AccessScope, AccessTokens, mainToken, tokenDigest } from "../../src/core/mod.ts";
import type { OwnerAccess } from "../../src/rpc/owner-access.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { test } from "../testing.ts";
import { start } from "./harness.ts";

const SELF = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const TOKEN = "t".repeat(16);

interface Scope {
  after(f: () => unknown): void;
}

async function serve(t: Scope, { access = {}, maxFileBytes = 1 << 24 }: {
  access?: Partial<OwnerAccess>;
  maxFileBytes?: number;
} = {}) {
  const files = new MemoryFiles();
  const server = await start({
    files: { files, maxFileBytes, access: { self: SELF, clock: Date, loopbackOnly: true, ...access } },
  });
  t.after(() => server[Symbol.asyncDispose]());
  const sessionManager = new Http2SessionManager(`http://127.0.0.1:${server.port}`);
  t.after(() => sessionManager.abort());
  const client = createClient(
    FileService,
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.port}`, sessionManager }),
  );
  return { files, client, server };
}

type Order = MessageInitShape<typeof PutFileOrderSchema>;
type Message = MessageInitShape<typeof PutFileRequestSchema>;

async function* messages(order: Order, pieces: readonly Uint8Array[]): AsyncGenerator<Message> {
  yield { message: { case: "order", value: order } };
  for (const piece of pieces) yield { message: { case: "chunk", value: piece as Uint8Array<ArrayBuffer> } };
  yield { message: { case: "end", value: {} } };
}

async function put(client: Client<typeof FileService>, order: Order, ...pieces: Uint8Array[]): Promise<File> {
  let file: File | undefined;
  for await (const { message } of client.put(messages(order, pieces))) {
    if (message.case === "file") file = message.value;
  }
  assert.ok(file);
  return file;
}

async function read(client: Client<typeof FileService>, request: Parameters<typeof client.get>[0]) {
  const pieces: Uint8Array[] = [];
  let file: File | undefined;
  for await (const { message } of client.get(request)) {
    if (message.case === "file") file = message.value;
    else if (message.case === "chunk") pieces.push(message.value);
  }
  return { file, bytes: Buffer.concat(pieces) };
}

const named = (name: string, version = 0n) => ({ file: { ref: { case: "name" as const, value: name }, version } });
const failing = (code: Code, message = /./) => (error: unknown) => {
  const failure = ConnectError.from(error);
  assert.equal(failure.code, code, failure.message);
  assert.match(failure.message, message);
  return true;
};

for (const size of [0, 1, 262_144, 262_145, 1_000_000]) {
  test(`a file of ${size} bytes is put and read over gRPC`, async (t) => {
    const { client } = await serve(t);
    const bytes = randomBytes(size);
    const pieces = Array.from(
      { length: Math.ceil(size / 100_000) },
      (_, i) => bytes.subarray(i * 100_000, (i + 1) * 100_000),
    );
    const file = await put(client, { name: "a/b", contentType: "x/y", sizeBytes: BigInt(size) }, ...pieces);
    assert.equal(file.state, FileState.REPLICATED);
    assert.equal(Buffer.from(file.sha256).toString("hex"), createHash("sha256").update(bytes).digest("hex"));
    const whole = await read(client, named("a/b"));
    assert.equal(whole.file?.id, file.id);
    assert.ok(whole.bytes.equals(bytes));
    const half = BigInt(Math.floor(size / 2));
    const range = await read(client, { ...named("a/b"), start: half, end: half + 10n });
    assert.ok(range.bytes.equals(bytes.subarray(Number(half), Number(half) + 10)));
  });
}

test("the order comes first, and only first", async (t) => {
  const { client, files } = await serve(t);
  const send = async (all: Message[]) => {
    for await (
      const _ of client.put((async function* () {
        yield* all;
      })())
    ) { /* read to the end */ }
  };
  const order: Message = { message: { case: "order", value: { name: "a" } } };
  const chunk: Message = { message: { case: "chunk", value: new Uint8Array(1) } };
  await assert.rejects(send([]), failing(Code.InvalidArgument, /first message/));
  await assert.rejects(send([chunk]), failing(Code.InvalidArgument, /first message/));
  await assert.rejects(send([order, order]), failing(Code.InvalidArgument, /Only the first/));
  await assert.rejects(send([order, chunk]), failing(Code.Canceled, /without the end message/));
  assert.equal(files.files.filter(({ record }) => record.state !== "uploading").length, 0);
});

test("limits of size and names hold", async (t) => {
  const { client } = await serve(t, { maxFileBytes: 10 });
  await assert.rejects(put(client, { name: "a", sizeBytes: 11n }), failing(Code.ResourceExhausted));
  await assert.rejects(put(client, { name: "a" }, new Uint8Array(11)), failing(Code.ResourceExhausted));
  await put(client, { name: "a" }, new Uint8Array(10));
  await assert.rejects(put(client, { name: "" }), failing(Code.InvalidArgument));
  await assert.rejects(put(client, { name: "é".repeat(2049) }), failing(Code.InvalidArgument));
  await put(client, { name: "é".repeat(2048) });
  await assert.rejects(client.stat({}), failing(Code.InvalidArgument));
  await assert.rejects(client.stat({ file: { ref: { case: "id", value: "x" } } }), failing(Code.InvalidArgument));
  await assert.rejects(read(client, { ...named("a"), start: 11n }), failing(Code.InvalidArgument));
  assert.equal((await read(client, { ...named("a"), start: 10n })).bytes.length, 0);
});

test("a name that is not UTF-8 is refused as bytes that are no message, with the code that Connect has for those", async (t) => {
  const { server } = await serve(t);
  const stat = async (name: readonly number[]): Promise<{ status: number; text: string }> => {
    const ref = [0x12, name.length, ...name];
    const answer = await fetch(`http://127.0.0.1:${server.port}/velas.sphere.v1.FileService/Stat`, {
      method: "POST",
      headers: { "content-type": "application/proto" },
      body: Uint8Array.of(0x0a, ref.length, ...ref),
    });
    return { status: answer.status, text: await answer.text() };
  };
  for (const name of [[0xff], [0xc0, 0xaf], [0x61, 0xed, 0xa0, 0x80]]) {
    const { status, text } = await stat(name);
    assert.equal(status, 500, text);
    assert.match(text, /"internal".*parse binary/);
  }
  assert.equal((await stat([0x61])).status, 404);
});

test("stat, list, rename, remove, health, audit, repair", async (t) => {
  const { client } = await serve(t);
  for (const name of ["a/1", "b", "b"]) await put(client, { name }, new Uint8Array(1));
  assert.equal((await client.stat(named("b"))).file?.version, 2n);
  assert.equal((await client.stat(named("b", 1n))).file?.isLatest, false);
  const page = await client.list({ delimiter: "/" });
  assert.deepEqual([page.folders, page.files.map(({ name }) => name)], [["a/"], ["b"]]);
  assert.equal((await client.list({ pageSize: 1 })).nextPageToken !== "", true);
  assert.equal((await client.rename({ ...named("b"), name: "c" })).file?.name, "c");
  await assert.rejects(client.rename({ ...named("c"), name: "a/1" }), failing(Code.AlreadyExists));
  assert.equal((await client.health(named("c"))).health?.margin, 2);
  assert.equal((await client.audit(named("c"))).health?.shards[5]?.state, ShardState.PROVEN);
  assert.equal((await client.repair(named("c"))).health?.shards.length, 6);
  await client.remove(named("c"));
  await assert.rejects(client.stat(named("c")), failing(Code.NotFound));
});

test("manifests are shared, exported and imported", async (t) => {
  const { client } = await serve(t);
  const other = await serve(t);
  await put(client, { name: "a" }, Buffer.from("hello"));
  const { shareKey } = await other.client.getShareKey({});
  const { manifest } = await client.share({ ...named("a"), recipient: shareKey.toUpperCase() });
  assert.equal((await other.client.importManifest({ manifest })).file?.name, "a");
  assert.equal((await read(other.client, named("a"))).bytes.toString(), "hello");
  assert.ok((await client.exportManifest(named("a"))).manifest.length > 0);
  assert.deepEqual((await client.unshare(named("a"))).told, ["127.0.0.1:8083"]);
  await assert.rejects(client.unshare(named("none")), failing(Code.NotFound));
});

test("watch tells what happens until the caller goes", async (t) => {
  const { client, files } = await serve(t);
  const canceled = new AbortController();
  const events = client.watch({}, { signal: canceled.signal })[Symbol.asyncIterator]();
  const first = events.next();
  while (files.watcherCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const file = await put(client, { name: "a" }, new Uint8Array(3));
  const event = (await first).value?.event;
  assert.equal(event?.type, FileEventType.PROGRESS);
  assert.equal(event?.fileId, file.id);
  assert.equal(event?.progress?.bytes, 3n);
  canceled.abort();
  while (files.watcherCount > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a caller that goes away stops its read", async (t) => {
  const { client, files } = await serve(t);
  await put(client, { name: "a" }, new Uint8Array(10_000_000));
  const canceled = new AbortController();
  const pieces = client.get(named("a"), { signal: canceled.signal })[Symbol.asyncIterator]();
  await pieces.next();
  await pieces.next();
  canceled.abort();
  await assert.rejects(async () => {
    while (!(await pieces.next()).done);
  });
  while (files.openReads > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("only the owner may: by token, or from this machine alone when there is none", async (t) => {
  const bearing = (authorization?: string, origin?: string) => ({
    headers: { ...(authorization === undefined ? {} : { authorization }), ...(origin === undefined ? {} : { origin }) },
  });
  const withToken = await serve(t, { access: { tokens: new AccessTokens([mainToken(TOKEN)]) } });
  await assert.rejects(withToken.client.list({}), failing(Code.Unauthenticated));
  await assert.rejects(withToken.client.list({}, bearing("Bearer wrong")), failing(Code.Unauthenticated));
  await assert.rejects(
    (async () => {
      for await (const _ of withToken.client.put(messages({ name: "a" }, []))) { /* nothing may come */ }
    })(),
    failing(Code.Unauthenticated),
  );
  assert.equal(withToken.files.puts.length, 0);
  await withToken.client.list({}, bearing(`Bearer ${TOKEN}`));
  await assert.rejects(
    withToken.client.list({}, bearing(`Bearer ${TOKEN}`, "http://evil.example")),
    failing(Code.PermissionDenied),
  );

  const scoped = (name: string, scope: AccessScope, expiresAt = Date.now() + 60_000) => ({
    name,
    scopes: new Set([scope]),
    digest: tokenDigest(`token-of-${name}`),
    expiresAt,
  });
  const tokens = new AccessTokens([scoped("cam", "files"), scoped("ci", "tasks"), scoped("old", "files", 1)]);
  const withScopes = await serve(t, { access: { tokens } });
  await withScopes.client.list({}, bearing("Bearer token-of-cam"));
  await assert.rejects(
    withScopes.client.list({}, bearing("Bearer token-of-ci")),
    failing(Code.PermissionDenied, /"ci" lacks the scope files/),
  );
  await assert.rejects(
    withScopes.client.list({}, bearing("Bearer token-of-old")),
    failing(Code.Unauthenticated, /"old" expired/),
  );

  const open = await serve(t, { access: { loopbackOnly: false } });
  await assert.rejects(open.client.list({}), failing(Code.Unauthenticated, /rest\.token/));
  const local = await serve(t);
  await local.client.list({});
  await assert.rejects(
    local.client.list({}, bearing(undefined, "http://127.0.0.1:8081")),
    failing(Code.PermissionDenied),
  );
});
