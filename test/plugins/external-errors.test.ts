import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { NodeError } from "../../src/core/mod.ts";
import { ErrorDetailSchema } from "../../src/gen/velas/sphere/v1/error_pb.ts";
import { bytes, call, until } from "./external-calls.ts";
import { serveStreams } from "./external-servers.ts";
import { connected, failing, finish, servePlugin } from "./external-fixture.ts";

test("each plain status of gRPC is one of our codes, with the plugin's own message and the status", async (t) => {
  const cases: readonly (readonly [Code, string, string, RegExp?])[] = [
    [Code.Canceled, "CANCELLED", "plugin_failed"],
    [Code.Unknown, "UNKNOWN", "plugin_failed"],
    [Code.InvalidArgument, "INVALID_ARGUMENT", "invalid_argument"],
    [Code.DeadlineExceeded, "DEADLINE_EXCEEDED", "deadline_exceeded", /over: no such picture \(.*limit is \d+ ms/],
    [Code.NotFound, "NOT_FOUND", "plugin_failed"],
    [Code.AlreadyExists, "ALREADY_EXISTS", "plugin_failed"],
    [Code.PermissionDenied, "PERMISSION_DENIED", "plugin_failed"],
    [Code.ResourceExhausted, "RESOURCE_EXHAUSTED", "overloaded"],
    [Code.FailedPrecondition, "FAILED_PRECONDITION", "plugin_failed"],
    [Code.Aborted, "ABORTED", "plugin_failed"],
    [Code.OutOfRange, "OUT_OF_RANGE", "invalid_argument"],
    [Code.Unimplemented, "UNIMPLEMENTED", "plugin_failed", /broke its protocol: no such picture$/],
    [Code.Internal, "INTERNAL", "plugin_failed"],
    [Code.Unavailable, "UNAVAILABLE", "plugin_unavailable"],
    [Code.DataLoss, "DATA_LOSS", "plugin_failed"],
    [Code.Unauthenticated, "UNAUTHENTICATED", "plugin_failed"],
  ];
  let answer = { message: "", code: Code.Unknown };
  const server = await servePlugin({
    // deno-lint-ignore require-yield
    async *execute() {
      throw await Promise.resolve(new ConnectError(answer.message, answer.code));
    },
  });
  const plugin = await connected(t, server);
  assert.deepEqual(cases.map(([status]) => status), Array.from({ length: 16 }, (_, place) => place + 1));
  for (const [status, name, code, message = /^no such picture$/] of cases) {
    answer = { message: "no such picture", code: status };
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), (error: NodeError) => {
      assert.deepEqual([error.code, error.data["grpcStatus"]], [code, name]);
      assert.match(error.message, message);
      return true;
    });
    // After UNAVAILABLE its health is asked, and it is well.
    await until(plugin, true);
  }
  answer = { message: "", code: Code.PermissionDenied };
  const silent = failing("plugin_failed", /without saying why \(PERMISSION_DENIED\)/);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), silent);
  // What grpc-go and grpcio say of a message over their own limit.
  for (
    const message of [
      "grpc: received message larger than max (5242880 vs. 4194304)",
      "SERVER: Received message larger than max (5242880 vs. 4194304)",
    ]
  ) {
    answer = { message, code: Code.ResourceExhausted };
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("input_too_large", /larger than max/));
  }
});

test("an error detail gives the code, but only one that a plugin may have", async (t) => {
  const cases = {
    plugin_trapped: "plugin_trapped",
    overloaded: "overloaded",
    invalid_argument: "invalid_argument",
    memory_exceeded: "memory_exceeded",
    output_too_large: "output_too_large",
    deadline_exceeded: "deadline_exceeded",
    shutting_down: "plugin_unavailable",
    plugin_unavailable: "plugin_unavailable",
    storage_locked: "plugin_failed",
    nonsense: "plugin_failed",
  };
  for (const [sent, expected] of Object.entries(cases)) {
    const server = await servePlugin({
      // deno-lint-ignore require-yield
      async *execute() {
        const value = create(ErrorDetailSchema, { code: sent });
        throw await Promise.resolve(
          new ConnectError("so it is", Code.Unknown, undefined, [{ desc: ErrorDetailSchema, value }]),
        );
      },
    });
    const plugin = await connected(t, server);
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing(expected, /so it is/));
  }
});

test("an answer without a result, or with more after it, is a breach of the protocol", async (t) => {
  for (const count of [0, 2]) {
    const server = await servePlugin({
      async *execute() {
        for (let i = 0; i < count; i++) yield await Promise.resolve(finish());
      },
    });
    const plugin = await connected(t, server);
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("plugin_failed", /protocol/));
  }
});

test("malformed protobuf in an answer is plugin_failed", async (t) => {
  const server = await serveStreams((stream, path) => {
    const answer = (...frames: Uint8Array[]) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      for (const frame of frames) stream.write(frame);
      stream.end();
    };
    if (path.endsWith("/Describe")) {
      const fn = [0x0a, 1, 0x66]; // name "f"
      const manifest = [0x12, 5, ...bytes("1.0.0"), 0x22, fn.length, ...fn];
      answer(Uint8Array.from([0, 0, 0, 0, manifest.length, ...manifest]));
    } else if (path.endsWith("/Execute")) {
      answer(Uint8Array.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]));
    } else {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
    }
  });
  const plugin = await connected(t, server);
  assert.equal(plugin.info().ready, true, plugin.info().problem);
  await assert.rejects(plugin.execute(call(bytes("x")), "f"), failing("plugin_failed", /protocol/));
});
