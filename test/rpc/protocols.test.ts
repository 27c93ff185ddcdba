import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { NodeService } from "../../src/gen/velas/sphere/v1/node_pb.ts";
import { type RunTaskStreamRequest, TaskService, TaskState } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { decodeNodeInfo } from "../../src/rpc/node-convert.ts";
import { fromConnectError } from "../../src/rpc/mod.ts";
import { bytes, text } from "./fake-tasks.ts";
import { type Running, start } from "./harness.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunTaskStreamRequestSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";

interface Dialled {
  readonly transport: Transport;
  readonly close: () => void;
}

function http2(
  port: number,
  make: (options: { baseUrl: string; sessionManager: Http2SessionManager }) => Transport,
): Dialled {
  const sessionManager = new Http2SessionManager(`http://127.0.0.1:${port}`);
  return {
    transport: make({ baseUrl: `http://127.0.0.1:${port}`, sessionManager }),
    close: () => sessionManager.abort(),
  };
}

function http1(port: number, make: (options: { baseUrl: string; httpVersion: "1.1" }) => Transport): Dialled {
  return { transport: make({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: "1.1" }), close: () => {} };
}

/** Every protocol over every HTTP that it goes over. Streams both ways need HTTP/2. */
const WIRES: Record<string, { bidi: boolean; dial: (port: number) => Dialled }> = {
  "gRPC": { bidi: true, dial: (port) => http2(port, createGrpcTransport) },
  "gRPC in JSON": {
    bidi: true,
    dial: (port) => http2(port, (o) => createGrpcTransport({ ...o, useBinaryFormat: false })),
  },
  "gRPC-Web over HTTP/2": {
    bidi: true,
    dial: (port) => http2(port, (o) => createGrpcWebTransport({ ...o, httpVersion: "2" })),
  },
  "gRPC-Web over HTTP/1.1": { bidi: false, dial: (port) => http1(port, createGrpcWebTransport) },
  "Connect over HTTP/2": {
    bidi: true,
    dial: (port) => http2(port, (o) => createConnectTransport({ ...o, httpVersion: "2" })),
  },
  "Connect over HTTP/1.1": { bidi: false, dial: (port) => http1(port, createConnectTransport) },
  "Connect in JSON": {
    bidi: false,
    dial: (port) => http1(port, (o) => createConnectTransport({ ...o, useBinaryFormat: false })),
  },
};

type StreamRequest = MessageInitShape<typeof RunTaskStreamRequestSchema>;

async function* requests(...messages: RunTaskStreamRequest["message"][]): AsyncGenerator<StreamRequest> {
  for (const message of messages) yield await Promise.resolve({ message } as StreamRequest);
}

async function failure(work: Promise<unknown>): Promise<ConnectError> {
  try {
    await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("It did not fail");
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

for (const [wire, { bidi, dial }] of Object.entries(WIRES)) {
  const over = (
    what: string,
    work: (
      client: ReturnType<typeof createClient<typeof TaskService>>,
      running: Running,
      transport: Transport,
    ) => Promise<void>,
  ) =>
    test(`${what} over ${wire}`, async () => {
      await using running = await start();
      const { transport, close } = dial(running.port);
      try {
        await work(createClient(TaskService, transport), running, transport);
      } finally {
        close();
      }
    });

  over("Run answers", async (client) => {
    const answer = await client.run({ task: { id: "t", input: bytes("abc") } });
    assert.equal(text(answer.output), "abc");
    assert.equal(answer.id, "t");
    assert.equal(answer.usage?.inputBytes, 3n);
  });

  over("errors carry code, data and advice", async (client) => {
    const thrown = fromConnectError(
      await failure(client.run({ task: { function: "throw", input: bytes("overloaded") } })),
    );
    assert.equal(thrown.code, "overloaded");
    assert.equal(thrown.message, "It failed with “ü” and 100 %");
    assert.deepEqual({ ...thrown.data }, { limit: "5", name: "x" });
    assert.equal(thrown.retryAfterMs, 1500);
    const missing = fromConnectError(await failure(client.get({ id: "missing" })));
    assert.equal(missing.code, "not_found");
    const broken = fromConnectError(await failure(client.run({ task: { function: "break" } })));
    assert.equal(broken.code, "internal");
    assert.ok(!broken.message.includes("secret"));
  });

  over("broken rules name the field", async (client) => {
    const error = fromConnectError(await failure(client.submit({ task: { id: "a b", priority: 101 } })));
    assert.equal(error.code, "invalid_argument");
    assert.match(error.message, /task\.id/);
    assert.match(error.message, /task\.priority/);
    assert.equal(fromConnectError(await failure(client.get({ id: "" }))).code, "invalid_argument");
    assert.equal(
      fromConnectError(await failure(client.list({ states: [TaskState.UNSPECIFIED] }))).code,
      "invalid_argument",
    );
    assert.equal(fromConnectError(await failure(all(client.watch({ id: "" })))).code, "invalid_argument");
  });

  over("Submit, Get, List and Cancel answer", async (client) => {
    const submitted = await client.submit({ task: { id: "s" } });
    assert.equal(submitted.task?.state, TaskState.QUEUED);
    const got = await client.get({ id: "g", includeOutput: true });
    assert.equal(text(got.output), "output of g");
    assert.equal((await client.get({ id: "g" })).output.length, 0);
    assert.equal((await client.get({ id: "queued", includeOutput: true })).output.length, 0);
    const page = await client.list({ states: [TaskState.FAILED, TaskState.EXPIRED] });
    assert.deepEqual(page.tasks.map((task) => task.state), [TaskState.FAILED, TaskState.EXPIRED]);
    assert.equal(page.nextPageToken, "50");
    const canceled = await client.cancel({ id: "c" });
    assert.equal(canceled.task?.reason, "canceled");
  });

  over("Watch streams", async (client) => {
    const events = await all(client.watch({ id: "w" }));
    assert.deepEqual(events.map(({ event }) => event?.event.case), ["state", "state"]);
  });

  over("a client that leaves Watch aborts its signal", async (client, running) => {
    const controller = new AbortController();
    const watching = failure((async () => {
      for await (const _ of client.watch({ id: "endless" }, { signal: controller.signal })) controller.abort();
    })());
    assert.equal((await watching).code, Code.Canceled);
    await running.tasks.until(() => running.tasks.aborts.length === 1);
    assert.equal((running.tasks.aborts[0] as { code: string }).code, "canceled");
    assert.deepEqual(running.logged, []);
  });

  over("a deadline reaches the service", async (client, running) => {
    // On a busy machine a deadline may be over before its call has arrived.
    for (let timeoutMs = 40; running.tasks.specs.length === 0; timeoutMs *= 2) {
      const error = await failure(client.run({ task: { function: "hang" } }, { timeoutMs }));
      assert.equal(error.code, Code.DeadlineExceeded);
    }
    await running.tasks.until(() => running.tasks.aborts.length === running.tasks.specs.length);
  });

  over("GetInfo answers with the signed description", async (_client, _running, transport) => {
    const answer = await createClient(NodeService, transport).getInfo({ nonce: bytes("nonce") });
    const { info, nonce } = decodeNodeInfo(answer.info);
    assert.equal(info.name, "Test Node");
    assert.equal(text(nonce), "nonce");
    assert.equal(answer.signature.length, 65);
  });

  if (!bidi) continue;

  over("RunStream streams both ways", async (client) => {
    const events = await all(client.runStream(requests(
      { case: "task", value: { id: "s" } as never },
      { case: "chunk", value: bytes("one") },
      { case: "chunk", value: bytes("two") },
    )));
    assert.deepEqual(events.map(({ event }) => event?.event.case), [
      "state",
      "log",
      "chunk",
      "chunk",
      "progress",
      "state",
    ]);
  });

  over("RunStream refuses a wrong order", async (client) => {
    const wrong: RunTaskStreamRequest["message"][][] = [
      [],
      [{ case: "chunk", value: bytes("x") }],
      [{ case: "task", value: { input: bytes("x") } as never }],
      [{ case: "task", value: {} as never }, { case: "task", value: {} as never }],
      [{ case: "task", value: { id: "a b" } as never }],
      [{ case: undefined }],
    ];
    for (const messages of wrong) {
      const error = fromConnectError(await failure(all(client.runStream(requests(...messages)))));
      assert.equal(error.code, "invalid_argument");
    }
  });

  over("a client that leaves RunStream aborts its signal", async (client, running) => {
    const controller = new AbortController();
    const streaming = failure((async () => {
      const sent = requests({ case: "task", value: { function: "hang" } as never });
      for await (const _ of client.runStream(sent, { signal: controller.signal })) controller.abort();
    })());
    assert.equal((await streaming).code, Code.Canceled);
    await running.tasks.until(() => running.tasks.aborts.length === 1);
    assert.deepEqual(running.logged, []);
  });
}

test("a stream is not limited by the request timeout", async () => {
  await using running = await start({ limits: { requestTimeoutMs: 30 } });
  const { transport, close } = WIRES["gRPC"]!.dial(running.port);
  const client = createClient(TaskService, transport);
  const controller = new AbortController();
  const watching = failure(all(client.watch({ id: "endless" }, { signal: controller.signal })));
  await running.tasks.until(() => running.tasks.contexts.length === 1);
  const [watch] = running.tasks.contexts;
  // A unary call beside it meets its limit, be it before it has arrived; the stream is still open then.
  assert.equal((await failure(client.run({ task: { function: "hang" } }))).code, Code.DeadlineExceeded);
  assert.equal(watch!.signal.aborted, false);
  controller.abort();
  await watching;
  close();
});

test("a download that its client does not read is held back", async () => {
  await using running = await start({ limits: { maxUnreadBytes: 1 << 20 } });
  const { transport, close } = WIRES["gRPC"]!.dial(running.port);
  const client = createClient(TaskService, transport);
  const controller = new AbortController();
  const sent = requests(
    { case: "task", value: { function: "flood" } as never },
    { case: "chunk", value: bytes("4000") }, // 250 MiB
  );
  const download = client.runStream(sent, { signal: controller.signal })[Symbol.asyncIterator]();
  await download.next();
  await download.next();
  await download.next();
  // Other calls on the same connection go on, and by the time they are answered the flood stands still.
  let before = -1;
  while (before !== running.tasks.floodedBytes) {
    before = running.tasks.floodedBytes;
    for (let i = 0; i < 20; i++) await client.run({ task: { input: bytes("x") } });
  }
  assert.ok(running.tasks.floodedBytes < 48 << 20, `${running.tasks.floodedBytes} bytes were produced for nobody`);
  const { signal } = running.tasks.contexts[0]!;
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  controller.abort();
  await aborted;
  close();
});
