import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { NodeError } from "../../src/core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { PluginService } from "../../src/gen/velas/sphere/v1/plugin_pb.ts";
import { bytes, call, connect, text, until } from "./external-calls.ts";
import { freePort, serveRoutes, serveSockets, serveStreams } from "./external-servers.ts";
import { chunk, connected, failing, finish, MANIFEST, serve, servePlugin } from "./external-fixture.ts";

test("a plugin that dies in a call makes it plugin_unavailable, and is back once it runs again", async (t) => {
  const running = Promise.withResolvers<void>();
  const server = await servePlugin({
    async *execute() {
      running.resolve();
      yield await new Promise<never>(() => {});
    },
  });
  const plugin = await connected(t, server);
  // The server in this process keeps the deadline's timer of a call that it never ends; a short one lets the process end.
  const limits = { timeoutMs: 2000, memoryBytes: 1, outputBytes: 1 };
  const result = plugin.execute(call(bytes("x"), { limits }), "first");
  await running.promise;
  const failed = assert.rejects(result, failing("plugin_unavailable"));
  await server.kill();
  await failed;
  await until(plugin, false);
  assert.match(plugin.info().problem!, /connection/i);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("plugin_unavailable"));
  const again = await servePlugin({}, server.port);
  await until(plugin, true);
  assert.equal(text((await plugin.execute(call(bytes("back")), "first")).output), "back");
  await plugin.close();
  await again.kill();
});

test("a plugin that is down at the start is found when it comes up", async () => {
  const port = await freePort();
  const plugin = await connect(`127.0.0.1:${port}`);
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /ECONNREFUSED/);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), (reason) => {
    failing("plugin_unavailable", /ECONNREFUSED/)(reason);
    assert((reason as NodeError).retryAfterMs! > 0);
    return (reason as NodeError).retryable;
  });
  const server = await servePlugin({}, port);
  await until(plugin, true);
  await plugin.close();
  await server.kill();
});

test("a plugin that accepts and says nothing is not ready, and close() does not wait for it", async (t) => {
  const plugin = await connected(t, await serveSockets(() => {}), { probeTimeoutMs: 30 });
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /No answer .* within 30 ms/);
});

test("a server that is no gRPC server is not ready, and its problem says so", async (t) => {
  const http1 = await serveSockets((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  assert.equal((await connected(t, http1)).info().ready, false);
  const http2 = await serveStreams((stream) => {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<html>");
  });
  const plugin = await connected(t, http2);
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /does not speak gRPC/);
});

test("a plugin whose description breaks the rules is not ready, and its problem names the rule", async (t) => {
  const cases = [
    [{ ...MANIFEST, version: "one" }, /version "one"/],
    [{ ...MANIFEST, functions: [] }, /0 functions/],
    [{ ...MANIFEST, functions: [{ name: "a b" }] }, /"a b"/],
    [{ ...MANIFEST, functions: [{ name: "a" }, { name: "a" }] }, /"a" twice/],
  ] as const;
  for (const [manifest, problem] of cases) {
    const server = await serveRoutes((router) =>
      router.service(PluginService, { describe: () => manifest as typeof MANIFEST })
    );
    const plugin = await connected(t, server);
    assert.equal(plugin.info().ready, false);
    assert.match(plugin.info().problem!, problem);
  }
});

test("a plugin that reports itself as not serving takes no calls until it serves", async (t) => {
  let status: Status = Status.NOT_SERVING;
  const server = await serveRoutes((router) => {
    router.service(PluginService, { describe: () => MANIFEST, execute: serve });
    router.service(Health, { check: () => ({ status }) });
  });
  const plugin = await connected(t, server, { healthIntervalMs: 5 });
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /not serving/);
  status = Status.SERVING;
  await until(plugin, true);
  status = Status.NOT_SERVING;
  await until(plugin, false);
});

test("a plugin that is too busy to answer questions keeps its calls", async (t) => {
  let busy = false;
  const running = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let unanswered = 0;
  const asked = Promise.withResolvers<void>();
  const server = await serveRoutes((router) =>
    router.service(PluginService, {
      async describe() {
        if (busy && ++unanswered === 2) asked.resolve();
        if (busy) await release.promise;
        return MANIFEST;
      },
      async *execute() {
        busy = true;
        running.resolve();
        await release.promise;
        yield chunk(bytes("late"));
        yield finish();
      },
    })
  );
  const plugin = await connected(t, server, { healthIntervalMs: 5, probeTimeoutMs: 1500 });
  const result = plugin.execute(call(bytes("x")), "first");
  await Promise.race([running.promise, result]);
  await Promise.race([asked.promise, result]);
  assert.equal(plugin.info().ready, true);
  busy = false;
  release.resolve();
  assert.equal(text((await result).output), "late");
});
