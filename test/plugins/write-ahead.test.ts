import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { WriteAhead } from "../../src/plugins/write-ahead.ts";
import { scratch } from "../e2e/harness.ts";
import { test, type TestScope } from "../testing.ts";

const MIB = 1 << 20;

/** Both ends of a Unix socket; nothing reads at the far one yet. */
async function pair(t: TestScope): Promise<{ near: WriteAhead; far: Socket }> {
  const path = join(scratch(t), "s");
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, "listening");
  const near = new WriteAhead(connect({ path }));
  const [far] = await once(server, "connection") as [Socket];
  far.on("error", () => {});
  near.on("error", () => {});
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 50));

test("writes do not wait for a peer that does not read, up to 32 MiB, and then until it has read", async (t) => {
  const { near, far } = await pair(t);
  let taken = 0;
  for (let i = 0; i < 40; i++) near.write(new Uint8Array(MIB), () => void taken++);
  await turn();
  assert(taken >= 30 && taken < 40, `${taken}`);
  let read = 0;
  far.on("data", (bytes) => read += bytes.length);
  far.resume();
  near.end();
  await once(far, "end");
  assert.equal(read, 40 * MIB);
  assert.equal(taken, 40);
});

test("what the peer sends is read while nothing of what it is sent is", async (t) => {
  const { near, far } = await pair(t);
  near.write(new Uint8Array(8 * MIB));
  far.end(new Uint8Array(8 * MIB));
  let read = 0;
  for await (const bytes of near.iterator({ destroyOnReturn: false })) read += (bytes as Uint8Array).length;
  assert.equal(read, 8 * MIB);
});

test("what came before the peer went is read, also when it is read later", async (t) => {
  const { near, far } = await pair(t);
  near.pause();
  far.write(new Uint8Array(MIB / 2));
  far.end(() => far.destroy());
  await turn();
  let read = 0;
  for await (const bytes of near) read += (bytes as Uint8Array).length;
  assert.equal(read, MIB / 2);
});

test("destroying it ends the socket, and a write that waits", async (t) => {
  const { near, far } = await pair(t);
  const ends = Array.from(
    { length: 40 },
    () => new Promise<unknown>((resolve) => near.write(new Uint8Array(MIB), resolve)),
  );
  await turn();
  near.destroy(new Error("enough"));
  assert.match(String((await Promise.all(ends)).at(-1)), /enough|destroyed/);
  far.resume();
  await once(far, "close");
});
