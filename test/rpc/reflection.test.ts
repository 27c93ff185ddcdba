import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createFileRegistry, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  ServerReflection as V1,
  type ServerReflectionRequestSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { start } from "./harness.ts";

type Query = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;

async function* requests(queries: readonly Query[]) {
  for (const messageRequest of queries) yield await Promise.resolve({ host: "h", messageRequest });
}

/** Asks one stream several things. */
async function ask(version: typeof V1 | typeof V1Alpha, ...queries: Query[]) {
  await using running = await start();
  const baseUrl = `http://127.0.0.1:${running.port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  try {
    const client = createClient(version as typeof V1, createGrpcTransport({ baseUrl, sessionManager }));
    const answers = [];
    for await (const answer of client.serverReflectionInfo(requests(queries))) {
      assert.equal(answer.validHost, "h");
      assert.equal(answer.originalRequest?.messageRequest.case, queries[answers.length]!.case);
      answers.push(answer.messageResponse);
    }
    assert.equal(answers.length, queries.length);
    return answers;
  } finally {
    sessionManager.abort();
  }
}

function filesOf(answer: { case?: string | undefined; value?: unknown } | undefined): FileDescriptorProto[] {
  assert.equal(answer?.case, "fileDescriptorResponse");
  const { fileDescriptorProto } = answer?.value as { fileDescriptorProto: Uint8Array[] };
  return fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

for (const [name, version] of Object.entries({ v1: V1, v1alpha: V1Alpha })) {
  test(`reflection ${name} lists the services`, async () => {
    const [answer] = await ask(version, { case: "listServices", value: "*" });
    assert.equal(answer?.case, "listServicesResponse");
    const names = (answer.value as { service: { name: string }[] }).service.map((service) => service.name);
    assert.deepEqual(names, [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "resources.Plugin",
      "resources.Provider",
      "velas.sphere.v1.NodeService",
      "velas.sphere.v1.TaskService",
    ]);
  });

  test(`reflection ${name} gives files with all they need`, async () => {
    const [answer] = await ask(version, { case: "fileContainingSymbol", value: "velas.sphere.v1.TaskService" });
    const files = filesOf(answer);
    assert.equal(files[0]!.name, "velas/sphere/v1/task.proto");
    // A registry can be built of them alone.
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files.toReversed() }));
    assert.ok(registry.getService("velas.sphere.v1.TaskService"));
  });
}

test("reflection finds a file by every kind of symbol", async () => {
  const symbols: Record<string, string> = {
    "velas.sphere.v1.TaskService.Run": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.TaskSpec": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.TaskSpec.input": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.TaskEvent.event": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.TaskState": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.TASK_STATE_QUEUED": "velas/sphere/v1/task.proto",
    "velas.sphere.v1.ErrorDetail": "velas/sphere/v1/error.proto",
    "grpc.health.v1.HealthCheckResponse.ServingStatus": "grpc/health/v1/health.proto",
    "grpc.health.v1.HealthCheckResponse.SERVING": "grpc/health/v1/health.proto",
    "buf.validate.field": "buf/validate/validate.proto",
    "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
  };
  for (const [symbol, file] of Object.entries(symbols)) {
    const [answer] = await ask(V1, { case: "fileContainingSymbol", value: symbol });
    assert.equal(filesOf(answer)[0]!.name, file, symbol);
  }
});

test("reflection sends a dependency once a stream, and what is asked for always", async () => {
  const [first, second, third] = await ask(
    V1,
    { case: "fileByFilename", value: "velas/sphere/v1/task.proto" },
    { case: "fileByFilename", value: "velas/sphere/v1/node.proto" },
    { case: "fileByFilename", value: "velas/sphere/v1/task.proto" },
  );
  assert.deepEqual(filesOf(first).map((file) => file.name).sort(), [
    "buf/validate/validate.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/timestamp.proto",
    "velas/sphere/v1/task.proto",
  ]);
  assert.deepEqual(filesOf(second).map((file) => file.name), ["velas/sphere/v1/node.proto"]);
  assert.deepEqual(filesOf(third).map((file) => file.name), ["velas/sphere/v1/task.proto"]);
});

test("reflection knows extensions", async () => {
  const [numbers, none, file] = await ask(
    V1,
    { case: "allExtensionNumbersOfType", value: "google.protobuf.FieldOptions" },
    { case: "allExtensionNumbersOfType", value: "velas.sphere.v1.TaskSpec" },
    {
      case: "fileContainingExtension",
      value: { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 },
    },
  );
  assert.deepEqual((numbers?.value as { extensionNumber: number[] }).extensionNumber, [1159]);
  assert.deepEqual((none?.value as { extensionNumber: number[] }).extensionNumber, []);
  assert.equal(filesOf(file)[0]!.name, "buf/validate/validate.proto");
});

test("reflection answers what it does not know with an error, and goes on", async () => {
  const answers = await ask(
    V1,
    { case: "fileByFilename", value: "nope.proto" },
    { case: "fileContainingSymbol", value: "velas.sphere.v1.Nope" },
    { case: "fileContainingSymbol", value: "" },
    { case: "fileContainingExtension", value: { containingType: "google.protobuf.FieldOptions", extensionNumber: 1 } },
    { case: "allExtensionNumbersOfType", value: "nope.Type" },
    { case: undefined },
    { case: "listServices", value: "" },
  );
  const codes = answers.map((answer) =>
    answer.case === "errorResponse" ? (answer.value as { errorCode: number }).errorCode : 0
  );
  assert.deepEqual(codes, [5, 5, 5, 5, 5, 3, 0]);
});
