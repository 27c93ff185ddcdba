import { createServer } from "node:http2";
import process from "node:process";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { PluginService } from "../../src/gen/velas/sphere/v1/plugin_pb.ts";
import { createPluginServer, type PluginImplementation, supervision } from "../../src/rpc/mod.ts";

// A plugin as a program of its own that misbehaves in the way that the argument names.
const [fault = ""] = process.argv.slice(2);
const { path, secret } = supervision(process.env)!;

const functions: Record<string, PluginImplementation> = {
  crash: {
    async *run(_, { log }) {
      log("info", "about to crash");
      yield new Uint8Array(10);
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => {});
    },
  },
  /** Deaf to its signal, and without a timer of its server. */
  late: {
    run: async () => {
      const until = performance.now() + 1500;
      while (performance.now() < until) {
        // A plugin that computes hears nothing meanwhile.
      }
      return await Promise.resolve("late");
    },
  },
  large: {
    async *run() {
      for (;;) yield await Promise.resolve(new Uint8Array(1 << 20));
    },
  },
  flood: {
    async run(_, { log }) {
      for (let line = 0; line < 20_000; line++) {
        log("info", `line ${line}`);
        if (line % 5 === 0) console.log("x".repeat(1000));
        if (line % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return "done";
    },
  },
  fine: { run: () => Promise.resolve("fine") },
};

if (fault === "silent") setInterval(() => {}, 1000);
else if (fault === "malformed") {
  const routes = connectNodeAdapter({
    routes: (router) =>
      void router.service(PluginService, {
        describe: () => ({ name: "bad", version: "1.0.0", functions: [{ name: "fine" }] }),
      }),
  });
  createServer((request, response) => {
    if (!request.url.endsWith("/Execute")) return routes(request, response);
    response.writeHead(200, { "content-type": "application/grpc" });
    // A frame of five bytes: a field whose length goes beyond its message.
    response.end(Uint8Array.of(0, 0, 0, 0, 5, 0x0a, 0xff, 0xff, 0xff, 0x7f));
  }).listen({ path });
} else {
  await createPluginServer({ name: "bad", version: "1.0.0", secret, functions }).listen({ path });
}
