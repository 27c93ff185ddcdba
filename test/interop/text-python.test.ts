import { fileURLToPath } from "node:url";
import { pluginCall } from "../contract-suites/plugin-host.ts";
import { textsContract } from "../contract-suites/texts.ts";
import { openPython } from "./python-plugin.ts";

const MODELS = fileURLToPath(new URL("../../grpc-plugins/text-python/model/", import.meta.url));

textsContract("text in Python", async (t) => {
  const host = await openPython(t, "text-python", { options: ["--models", MODELS, "--take-models"] });
  return (fn, input) => host.execute(pluginCall(fn, input, { plugin: "text-python" }));
});
