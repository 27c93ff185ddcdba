import { setTimeout as sleep } from "node:timers/promises";
import { pluginHostContract } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { program } from "./program.ts";

pluginHostContract("supervised processes", async (t) => {
  const command = program("contract-program.ts");
  const host = await openHost(t, { external: [{ name: "contract", command, protocol: "velas" }], workers: 1 });
  while (!host.get("contract").ready) await sleep(1);
  return host;
});
