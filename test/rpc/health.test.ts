import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { start } from "./harness.ts";

async function connected() {
  const running = await start();
  const baseUrl = `http://127.0.0.1:${running.port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const client = createClient(Health, createGrpcTransport({ baseUrl, sessionManager }));
  return {
    running,
    client,
    async [Symbol.asyncDispose]() {
      sessionManager.abort();
      await running.server.close({ graceMs: 0 });
    },
  };
}

test("Check tells the state of the server and of each of its services", async () => {
  await using it = await connected();
  const services = ["", "velas.sphere.v1.TaskService", "resources.Provider", "grpc.health.v1.Health"];
  for (const service of services) assert.equal((await it.client.check({ service })).status, Status.SERVING);
  it.running.health.set(false);
  for (const service of services) assert.equal((await it.client.check({ service })).status, Status.NOT_SERVING);
});

test("Check does not know a service that is not there", async () => {
  await using it = await connected();
  await assert.rejects(
    it.client.check({ service: "nope" }),
    (error) => ConnectError.from(error).code === Code.NotFound,
  );
});

test("Watch sends the state now and after each change", async () => {
  await using it = await connected();
  const controller = new AbortController();
  const seen: Status[] = [];
  const watching = (async () => {
    for await (const { status } of it.client.watch({ service: "" }, { signal: controller.signal })) {
      seen.push(status);
      if (seen.length === 3) controller.abort();
      else it.running.health.set(status !== Status.SERVING);
    }
  })();
  await assert.rejects(watching, (error) => ConnectError.from(error).code === Code.Canceled);
  assert.deepEqual(seen, [Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
});

test("Watch of an unknown service says so and goes on", async () => {
  await using it = await connected();
  const controller = new AbortController();
  const watching = (async () => {
    for await (const { status } of it.client.watch({ service: "nope" }, { signal: controller.signal })) {
      assert.equal(status, Status.SERVICE_UNKNOWN);
      controller.abort();
    }
  })();
  await assert.rejects(watching, (error) => ConnectError.from(error).code === Code.Canceled);
});
