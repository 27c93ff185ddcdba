/** A plugin over gRPC in this process, and the node's way to it. */
import assert from "node:assert/strict";
import type { TestScope } from "../testing.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { NodeError } from "../../src/core/mod.ts";
import { LogLevel } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { type ExecuteResponseSchema, PluginService } from "../../src/gen/velas/sphere/v1/plugin_pb.ts";
import type { ExternalPlugin, ExternalPluginOptions } from "../../src/plugins/external-plugin.ts";
import { bytes, connect } from "./external-calls.ts";
import { serveRoutes, type TestServer } from "./external-servers.ts";

export type Execute = ServiceImpl<typeof PluginService>["execute"];

type Response = MessageInitShape<typeof ExecuteResponseSchema>;

export const chunk = (value: Uint8Array): Response => ({
  message: { case: "chunk", value: value as Uint8Array<ArrayBuffer> },
});
export const log = (message: string, level: LogLevel = LogLevel.INFO): Response => ({
  message: { case: "log", value: { level, message } },
});
export const finish = (contentType = ""): Response => ({ message: { case: "result", value: { contentType } } });

export const MANIFEST = {
  name: "served",
  version: "1.2.3",
  description: "for tests",
  functions: [
    { name: "first", inputContentType: "", outputContentType: "text/x-first", description: "" },
    { name: "second", inputContentType: "", outputContentType: "", description: "" },
  ],
};

export async function* streamOf(...pieces: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(bytes(piece));
}

/** What the plugin of most tests does, by function. */
export const serve: Execute = async function* (requests, context) {
  const source = requests[Symbol.asyncIterator]();
  const { message } = (await source.next()).value!;
  assert(message.case === "start");
  const start = message.value;
  if (start.function === "second") {
    yield log(`limit ${start.limits?.timeoutMs}`, LogLevel.WARN);
    yield { message: { case: "progress", value: { fraction: 7, message: "over" } } };
  }
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    if (next.value.message.case === "chunk") yield chunk(next.value.message.value);
  }
  context.signal.throwIfAborted();
  yield finish(start.function === "second" ? "text/x-second" : "");
};

export async function servePlugin(
  impl: { execute?: Execute; cancel?: ServiceImpl<typeof PluginService>["cancel"]; maxConcurrency?: number },
  port = 0,
): Promise<TestServer> {
  const { execute = serve, cancel = () => ({}), maxConcurrency = 0 } = impl;
  return await serveRoutes(
    (router) => router.service(PluginService, { describe: () => ({ ...MANIFEST, maxConcurrency }), execute, cancel }),
    port,
  );
}

/** A plugin that is closed with the test, and its server, if it still runs, too. */
export async function connected(
  t: TestScope,
  server: TestServer,
  options: Partial<ExternalPluginOptions> = {},
): Promise<ExternalPlugin> {
  const plugin = await connect(server.address, options);
  t.after(async () => {
    await plugin.close();
    await server.kill().catch(() => {});
  });
  return plugin;
}

export const failing = (code: string, pattern = /./) => (reason: unknown) => {
  assert(reason instanceof NodeError, `${reason}`);
  assert.equal(reason.code, code, reason.message);
  assert.match(reason.message, pattern);
  return true;
};
