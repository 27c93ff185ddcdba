import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { newSecretKey, nodeKeyOf } from "../../src/core/mod.ts";
import { GetInfoRequestSchema, GetInfoResponseSchema } from "../../src/gen/velas/sphere/v1/node_pb.ts";
import { encodeNodeInfo, nodeInfoMessage } from "../../src/rpc/node-convert.ts";
import { createRpcServer } from "../../src/rpc/mod.ts";
import { create, toBinary } from "@bufbuild/protobuf";
import { serveStreams } from "../plugins/external-servers.ts";
import { answer, failing, frame, openPeers, readRequest } from "./client-harness.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { COMMON, listen } from "./client-nodes.ts";

test("info() gives what the node says, when the node has signed it for this question", async (t) => {
  const key = nodeKeyOf(newSecretKey());
  const described = { ...fakeNode.describe(), nodeId: key.nodeId };
  const target = await listen(
    t,
    createRpcServer({
      ...COMMON,
      tasks: new FakeTasks(),
      node: { describe: () => described, sign: (message) => key.sign(message) },
    }),
  );
  const peers = openPeers();
  t.after(() => peers.close());
  assert.deepEqual(await peers.info(target, new AbortController().signal), described);
  await assert.rejects(peers.info(target, AbortSignal.abort()), failing("canceled"));
});

test("info() refuses a forged, a replayed and a broken description", async () => {
  const key = nodeKeyOf(newSecretKey());
  const other = nodeKeyOf(newSecretKey());
  const described = { ...fakeNode.describe(), nodeId: key.nodeId };
  const cases: [RegExp, (nonce: Uint8Array) => { info: Uint8Array; signature: Uint8Array }][] = [
    [/is signed by/, (nonce) => {
      const info = encodeNodeInfo(described, nonce);
      return { info, signature: other.sign(nodeInfoMessage(info)) };
    }],
    [/nonce differs/, () => {
      const info = encodeNodeInfo(described, new Uint8Array(16));
      return { info, signature: key.sign(nodeInfoMessage(info)) };
    }],
    [/signature is none/, (nonce) => ({ info: encodeNodeInfo(described, nonce), signature: new Uint8Array(65) })],
    [/cannot be read/, () => ({ info: Uint8Array.of(0xff), signature: new Uint8Array(65) })],
  ];
  for (const [message, forge] of cases) {
    const server = await serveStreams((stream) => {
      void readRequest(stream, GetInfoRequestSchema).then(({ nonce }) => {
        const { info, signature } = forge(nonce);
        const response = create(GetInfoResponseSchema, {
          info: Uint8Array.from(info),
          signature: Uint8Array.from(signature),
        });
        answer(stream, [frame(toBinary(GetInfoResponseSchema, response))]);
      });
    });
    const peers = openPeers();
    await assert.rejects(
      peers.info(server.address, new AbortController().signal),
      failing("target_misbehaved", message),
    );
    await peers.close();
    await server.kill();
  }
});
