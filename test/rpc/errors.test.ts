import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, NodeError } from "../../src/core/mod.ts";
import { ErrorDetailSchema } from "../../src/gen/velas/sphere/v1/error_pb.ts";
import { CONNECT_CODES, fromConnectError, parseErrorCode, toConnectError, toErrorDetail } from "../../src/rpc/mod.ts";

/** What a client sees of an error: the same, with details as they come off the wire. */
function overTheWire(error: ConnectError): ConnectError {
  const received = new ConnectError(error.rawMessage, error.code);
  received.details = [...error.details];
  return received;
}

for (const code of Object.keys(CONNECT_CODES) as ErrorCode[]) {
  test(`an error with the code ${code} survives the wire`, () => {
    const error = new NodeError(code, "Message with ü", {
      data: { limit: 5, on: true, name: "x" },
      retryAfterMs: 1500,
    });
    const back = fromConnectError(overTheWire(toConnectError(error)));
    assert.equal(back.code, code);
    assert.equal(back.message, error.message);
    assert.equal(back.retryable, error.retryable);
    assert.equal(back.retryAfterMs, 1500);
    assert.deepEqual({ ...back.data }, { limit: "5", on: "true", name: "x" });
  });
}

test("an advice on retrying that differs from the code's survives the wire", () => {
  const back = fromConnectError(overTheWire(toConnectError(new NodeError("overloaded", "m", { retryable: false }))));
  assert.equal(back.retryable, false);
  assert.equal(back.retryAfterMs, undefined);
});

test("fromConnectError() decides by the Connect code when there is no detail", () => {
  const cases: [Code, ErrorCode][] = [
    [Code.Canceled, "canceled"],
    [Code.Unknown, "target_failed"],
    [Code.InvalidArgument, "invalid_argument"],
    [Code.NotFound, "not_found"],
    [Code.ResourceExhausted, "overloaded"],
    [Code.Unavailable, "target_unreachable"],
    [Code.Internal, "target_failed"],
    [Code.Unauthenticated, "unauthenticated"],
  ];
  for (const [from, to] of cases) assert.equal(fromConnectError(new ConnectError("m", from)).code, to);
});

test("fromConnectError() keeps a code that this version does not know as data", () => {
  const error = new ConnectError("m", Code.NotFound, undefined, [
    { desc: ErrorDetailSchema, value: { ...toErrorDetail(new NodeError("internal", "m")), code: "from_the_future" } },
  ]);
  const back = fromConnectError(error);
  assert.equal(back.code, "not_found");
  assert.equal(back.data["code"], "from_the_future");
});

test("fromConnectError() bounds the wait that a peer asks for", () => {
  const error = new ConnectError("m", Code.Unavailable, undefined, [
    { desc: ErrorDetailSchema, value: { code: "overloaded", retryAfterMs: 2n ** 64n - 1n } },
  ]);
  assert.equal(fromConnectError(error).retryAfterMs, 86_400_000);
});

test("fromConnectError() makes target_failed of what is no ConnectError", () => {
  assert.equal(fromConnectError(new TypeError("x")).code, "target_failed");
  const own = new NodeError("not_found", "m");
  assert.equal(fromConnectError(own), own);
});

test("toConnectError() does not show the message of a foreign error", () => {
  const error = toConnectError(new TypeError("the secret"));
  assert.equal(error.code, Code.Internal);
  assert.ok(!error.rawMessage.includes("secret"));
  assert.equal(fromConnectError(overTheWire(error)).code, "internal");
});

test("toConnectError() keeps an error of Connect and names its cause", () => {
  const error = toConnectError(new ConnectError("too big", Code.ResourceExhausted));
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(fromConnectError(overTheWire(error)).code, "input_too_large");
});

test("parseErrorCode() knows the closed set only", () => {
  assert.equal(parseErrorCode("overloaded"), "overloaded");
  for (const text of ["", "nope", "toString", "__proto__", "OVERLOADED"]) assert.equal(parseErrorCode(text), undefined);
});
