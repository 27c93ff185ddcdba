import process from "node:process";
import { silentLog } from "../../src/core/mod.ts";
import { connectExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { call, text } from "./external-calls.ts";

// Stands for a node that is killed: runs the given plugin, prints where it is, and stays.
const plugin = connectExternalPlugin({
  name: "run",
  protocol: "velas",
  log: silentLog,
  command: process.argv.slice(2),
  graceMs: 1000,
});
await plugin.settled();
console.log(text((await plugin.execute(call(new Uint8Array(0)), "where")).output));
setInterval(() => {}, 1000);
