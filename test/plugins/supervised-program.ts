import { spawn } from "node:child_process";
import process from "node:process";
import { createPluginServer, supervision } from "../../src/rpc/mod.ts";

// A plugin as a program of its own. The argument says what is wrong with it.
const [fault = ""] = process.argv.slice(2);

if (fault === "exits") {
  console.error("no model to load");
  process.exit(3);
}
if (fault === "throws") {
  throw new Error("no weights");
}
if (fault === "deaf") process.on("SIGTERM", () => {});
if (fault === "noisy") {
  console.log("x".repeat(10_000));
  for (let line = 0; line < 5000; line++) console.log(`line ${line}`);
}
const child = fault === "parent" || fault === "deaf" ? spawn("sleep", ["600"], { stdio: "ignore" }) : undefined;
const supervised = supervision(process.env);
const server = createPluginServer({
  name: "supervised",
  version: "2.0.0",
  secret: supervised?.secret,
  functions: {
    where: {
      run: () =>
        Promise.resolve(
          JSON.stringify({ pid: process.pid, parent: process.ppid, child: child?.pid, cwd: process.cwd() }),
        ),
    },
    environment: { run: () => Promise.resolve(JSON.stringify(Object.keys(process.env).sort())) },
    end: {
      run() {
        process.exit(9);
      },
    },
    stall: { run: () => process.kill(process.pid, "SIGSTOP") && Promise.resolve("") },
    socket: { run: () => Promise.resolve(supervised!.path) },
    stream: { run: (input) => input },
    fail: { run: () => Promise.reject(new Error("on purpose")) },
    whole: { run: (input) => input.bytes() },
  },
});
if (fault === "silent") setInterval(() => {}, 1000);
else await server.listen(supervised!);
