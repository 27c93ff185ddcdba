import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import v8 from "node:v8";
import vm from "node:vm";
import { letSocketsGo } from "../../src/core/closed-connections.ts";
import { test } from "../testing.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

/** How many of them outlive a collection. */
async function left(objects: readonly WeakRef<object>[]): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
  }
  return objects.filter((object) => object.deref() !== undefined).length;
}

/** Opens and closes some connections one after the other, so that at most the last can still be on a stack. */
async function open(connect: () => { readonly object: WeakRef<object>; readonly closed: Promise<unknown> }) {
  const objects: WeakRef<object>[] = [];
  for (let i = 0; i < 20; i++) {
    const { object, closed } = connect();
    objects.push(object);
    await closed;
  }
  return objects;
}

test("sockets that are closed while they read are let go at both ends", async () => {
  letSocketsGo();
  const accepted: WeakRef<object>[] = [];
  const server = net.createServer((socket) => {
    accepted.push(new WeakRef(socket));
    socket.on("error", () => {});
    socket.on("data", () => socket.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const opened = await open(() => {
    const socket = net.connect(port, "127.0.0.1").on("error", () => {}).resume();
    socket.write("hello");
    return { object: new WeakRef(socket), closed: once(socket, "close") };
  });
  await new Promise((resolve) => server.close(resolve));
  assert.ok(await left(accepted) <= 1);
  assert.ok(await left(opened) <= 1);
});
