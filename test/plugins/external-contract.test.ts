import { setTimeout as sleep } from "node:timers/promises";
import { createPluginServer, type PluginImplementation } from "../../src/rpc/mod.ts";
import { pluginHostContract } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";

/** The functions of wasm-plugins/testing/contract.json, over gRPC. */
const functions: Record<string, PluginImplementation> = {
  echo: { outputContentType: "application/x-echo", run: (input) => input },
  fail: {
    async run(input) {
      throw new Error(await input.text());
    },
  },
  chatter: {
    run(_, { log, progress }) {
      log("trace", "trace");
      log("debug", "debug");
      log("info", "info");
      progress(0.5, "half");
      log("warn", "warn");
      log("error", "error");
      progress(1);
      return Promise.resolve("done");
    },
  },
  pieces: {
    async *run(input) {
      const bytes = await input.bytes();
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
    },
  },
  zeros: { run: async (input) => new Uint8Array(Number(await input.text())) },
  endless: {
    run(_, { log }) {
      log("info", "started");
      return new Promise(() => {});
    },
  },
};

pluginHostContract("gRPC plugins", async (t) => {
  const server = createPluginServer({ name: "itself", version: "1.2.3", functions });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const external = [{ name: "contract", address: `127.0.0.1:${port}`, protocol: "auto" }] as const;
  const host = await openHost(t, { external, workers: 1 });
  t.after(() => server.close({ graceMs: 0 }));
  while (!host.get("contract").ready) await sleep(1);
  return host;
});
