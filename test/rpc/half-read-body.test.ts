import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { start } from "./harness.ts";

test("a connection of HTTP/1.1 goes on after a request that was refused in the middle of its body", async () => {
  await using node = await start({ limits: { maxMessageBytes: 1024 } });
  const socket = net.connect(node.port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => received += chunk);
  const until = async (sign: string) => {
    while (!received.includes(sign)) await once(socket, "data");
  };
  const send = (path: string, type: string, length: number) =>
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`,
    );
  const body = Buffer.alloc(200_005);
  body.writeUInt32BE(200_000, 1);
  send("/velas.sphere.v1.TaskService/Watch", "application/connect+proto", body.length);
  socket.write(body.subarray(0, 20_000));
  await until("resource_exhausted");
  // The client still sends what it began; its next request on the connection must be seen.
  socket.write(body.subarray(20_000));
  send("/velas.sphere.v1.TaskService/Get", "application/json", '{"id":"x"}'.length);
  socket.write('{"id":"x"}');
  await until('"state":"TASK_STATE_SUCCEEDED"');
  socket.destroy();
  assert.match(received, /HTTP\/1\.1 200 OK/);
});
