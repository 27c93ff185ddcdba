import { z } from "@hono/zod-openapi";
import { contentType, count, hash, nodeId, Sha256, text, time } from "./schema-fields.ts";

export const PluginRef = z.string().min(1).max(160).openapi({
  description: "A plugin: its name, `name@version`, or the SHA-256 of its module.",
  examples: ["demo"],
});

export const FunctionName = z.string().max(128).openapi({
  description: "A function of the plugin.",
  examples: ["greet"],
});

export const PluginFunction = z.object({
  name: FunctionName,
  inputContentType: contentType("Media type of the input that it expects; empty means any."),
  outputContentType: contentType("Media type of its output; empty means application/octet-stream."),
  description: text("What it does.", "Answers a greeting."),
}).openapi("PluginFunction");

export const GpuLine = z.object({
  running: z.int().min(0).openapi({ description: "Calls that have the GPU: 0 or 1.", examples: [1] }),
  waiting: z.int().min(0).openapi({ description: "Calls that wait for it.", examples: [2] }),
}).openapi("GpuLine", {
  description: "The line for the node's GPU, as far as it is one plugin's; absent of a plugin that needs none.",
});

export const PluginUse = z.object({
  calls: count("Calls that have ended.", 12),
  failed: count("Those that failed or were stopped; what they consumed is not in the other numbers.", 1),
  wallMicros: count("Time in the plugin, in microseconds.", 5300),
  instructions: count("Metered instructions; 0 of an external plugin.", 1_000_000),
  gpuMicros: count("Time on the node's GPU, in microseconds.", 0),
}).openapi("PluginUse", {
  description: "What the plugin was used for since the node started; absent until it is called.",
});

export const Plugin = z.object({
  name: text("Its name.", "demo"),
  version: text("Its semantic version.", "1.0.0"),
  sha256: hash("The SHA-256 of its module; empty for an external plugin."),
  runtime: z.enum(["wasm", "grpc"]).openapi({ description: "Where it runs: in the node, or outside." }),
  functions: z.array(PluginFunction).openapi({ description: "What tasks may call." }),
  description: text("What it does.", "Says world to hello."),
  isDefault: z.boolean().openapi({ description: "Whether a task that names no plugin gets it.", examples: [true] }),
  enabled: z.boolean().openapi({ description: "Whether its operator lets it take tasks.", examples: [true] }),
  ready: z.boolean().openapi({ description: "Whether it takes tasks now.", examples: [true] }),
  problem: z.string().optional().openapi({ description: "Why it is not ready.", examples: ["It is disabled"] }),
  address: z.string().optional().openapi({
    description: "Where an external plugin is dialled.",
    examples: ["127.0.0.1:8082"],
  }),
  gpu: GpuLine.optional(),
  sizeBytes: count("Size of its module, in bytes.", 16_384).optional(),
  used: PluginUse.optional(),
}).openapi("Plugin", { description: "A plugin as its node lists it." });

export const PluginList = z.object({
  plugins: z.array(Plugin).openapi({ description: "All plugins, those that are disabled too." }),
}).openapi("PluginList");

export const PluginSource = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).max(2048).openapi({
    description: "Where the module is downloaded from.",
    examples: ["https://plugins.example/wordcount.wasm"],
  }),
  sha256: Sha256.openapi({ description: "The digest that the module must have." }),
}).openapi("PluginSource", { description: "A WASM module to download." });

export const PluginChange = z.strictObject({
  enabled: z.boolean().openapi({ description: "Whether the plugin may take tasks.", examples: [false] }),
}).openapi("PluginChange", { description: "What to change of a plugin." });

export const UploadedModule = z.object({
  sha256: Sha256,
  sizeBytes: count("Its size, in bytes.", 148_000),
  name: text("What its manifest says, or a name made of the SHA-256.", "demo"),
  version: text("What its manifest says, or 0.0.0.", "1.0.0"),
  functions: z.array(z.string()).openapi({
    description: "What tasks may call; the first is what a task runs that names none.",
    examples: [["greet"]],
  }),
  requester: nodeId("The node id of who uploaded it."),
  lastUsedAt: time("When it was last run or asked for."),
  running: z.int().openapi({ description: "Tasks that run it now.", examples: [0] }),
}).openapi("Module", { description: "A WASM module that tasks name by its SHA-256, not installed." });

export const ModuleList = z.object({
  modules: z.array(UploadedModule).openapi({ description: "The least recently used first." }),
}).openapi("ModuleList");
