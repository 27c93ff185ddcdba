import type { PluginImplementation } from "../../src/rpc/mod.ts";

/** The functions of wasm-plugins/testing/contract.json, over gRPC. */
export const contractFunctions: Record<string, PluginImplementation> = {
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
