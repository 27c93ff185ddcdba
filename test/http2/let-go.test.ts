import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import net from "node:net";
import v8 from "node:v8";
import vm from "node:vm";
import { letSocketsGo } from "../../src/core/closed-connections.ts";
import { ClientSession } from "../../src/http2/client-session.ts";
import { test, type TestScope } from "../testing.ts";
import { answerOf, ignore, serveSessions, SETTINGS, until } from "./harness.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;
letSocketsGo();

const CONNECTIONS = 20;

/** How many of them outlive a collection. */
async function left(objects: readonly WeakRef<object>[]): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
  }
  return objects.filter((object) => object.deref() !== undefined).length;
}

/** What both ends have had of some connections. */
interface Had {
  readonly streams: WeakRef<object>[];
  readonly sessions: WeakRef<object>[];
}

/** Opens connections one after the other, so that at most the last can still be on a stack. `end` ends one with a request on it. */
async function connections(
  t: TestScope,
  end: (session: ClientSession, stream: ReturnType<ClientSession["request"]>) => Promise<unknown>,
) {
  const served: Had = { streams: [], sessions: [] };
  const opened: Had = { streams: [], sessions: [] };
  let open = 0;
  const server = await serveSessions(t, (stream) => {
    open++;
    served.streams.push(new WeakRef(stream));
    served.sessions.push(new WeakRef(stream.session));
    stream.on("close", () => open--);
    stream.respond();
    stream.pipe(stream);
  });
  for (let i = 0; i < CONNECTIONS; i++) {
    await connect(server.port, opened, end);
    // They are kept to be destroyed at the end of a test, and an error keeps what was on the stack.
    await until(() => open === 0 && server.sessions.every(({ destroyed }) => destroyed));
    server.sessions.length = 0;
    server.sockets.length = 0;
    server.errors.length = 0;
  }
  return { served, opened };
}

async function connect(port: number, opened: Had, end: Parameters<typeof connections>[1]): Promise<void> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const session = new ClientSession(new URL(`http://127.0.0.1:${port}`), socket, SETTINGS);
  session.on("error", ignore);
  const stream = session.request({ ":method": "POST" });
  opened.sessions.push(new WeakRef(session));
  opened.streams.push(new WeakRef(stream));
  const closed = once(session, "close");
  await end(session, stream);
  await closed;
}

const ENDS: Record<string, Parameters<typeof connections>[1]> = {
  "whose requests were answered": async (session, stream) => {
    stream.end("body");
    await answerOf(stream);
    session.close();
  },
  "whose requests were reset": async (session, stream) => {
    stream.write("body");
    await once(stream, "data");
    stream.close(constants.NGHTTP2_CANCEL);
    await answerOf(stream);
    session.close();
  },
  "that were destroyed with a request open": async (session, stream) => {
    stream.write("body");
    await once(stream, "data");
    session.destroy();
  },
  "whose sockets were destroyed": async (session, stream) => {
    stream.write("body");
    await once(stream, "data");
    session.socket.destroy();
  },
};

for (const [which, end] of Object.entries(ENDS)) {
  test(`sessions and streams ${which} are let go at both ends`, async (t) => {
    const { served, opened } = await connections(t, end);
    assert.equal(served.streams.length, CONNECTIONS);
    const counts: number[] = [];
    for (const had of [served.streams, served.sessions, opened.streams, opened.sessions]) counts.push(await left(had));
    assert.ok(counts.every((count) => count <= 1), counts.join(", "));
  });
}

test("streams of a session that goes on are let go", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    served.push(new WeakRef(stream));
    stream.respond();
    stream.pipe(stream);
  });
  const served: WeakRef<object>[] = [];
  const opened: WeakRef<object>[] = [];
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const session = new ClientSession(new URL(`http://127.0.0.1:${port}`), socket, SETTINGS);
  t.after(() => session.destroy());
  const ask = async (isReset: boolean) => {
    const stream = session.request({ ":method": "POST" });
    opened.push(new WeakRef(stream));
    if (isReset) stream.write("body", () => stream.close(constants.NGHTTP2_CANCEL));
    else stream.end("body");
    await answerOf(stream);
  };
  for (let i = 0; i < CONNECTIONS; i++) await ask(i % 2 === 0);
  await ask(false);
  assert.ok(await left(served) <= 1);
  assert.ok(await left(opened) <= 1);
});
