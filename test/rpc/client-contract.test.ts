import { fakeNode } from "./fake-tasks.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { createRpcServer } from "../../src/rpc/mod.ts";
import { taskServiceContract } from "../contract-suites/task-service.ts";
import { COMMON } from "./client-nodes.ts";

// The whole way: the client's transport, a socket, the server's fast path and Connect behind it, the provider.
taskServiceContract("a remote task service", async (tasks) => {
  const server = createRpcServer({
    ...COMMON,
    tasks,
    node: fakeNode,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const peers = createPeers({});
  return {
    service: peers.dial(`127.0.0.1:${port}`),
    async close() {
      await peers.close();
      await server.close({ graceMs: 0 });
    },
  };
});
