import { setTimeout as sleep } from "node:timers/promises";
import { createPluginServer } from "../../src/rpc/mod.ts";
import { pluginHostContract } from "../contract-suites/plugin-host.ts";
import { contractFunctions } from "./contract-functions.ts";
import { openHost } from "./host-fixture.ts";

pluginHostContract("gRPC plugins", async (t) => {
  const server = createPluginServer({ name: "itself", version: "1.2.3", functions: contractFunctions });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const external = [{ name: "contract", address: `127.0.0.1:${port}`, protocol: "auto" }] as const;
  const host = await openHost(t, { external, workers: 1 });
  t.after(() => server.close({ graceMs: 0 }));
  while (!host.get("contract").ready) await sleep(1);
  return host;
});
