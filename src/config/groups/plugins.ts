import * as z from "zod";
import { addressSchema, externalPlugins, integer, size, text, texts, toggle } from "../setting.ts";

/** A plugin that runs outside the node, in any language. */
export const externalPluginSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/).meta({
    description:
      "The name that tasks give: a lower-case letter or digit, then up to 63 more, dots, hyphens, underscores",
  }),
  address: addressSchema.optional().meta({ description: "Where the plugin listens, host:port; absent with a command" }),
  command: z.array(z.string().min(1).max(4096)).min(1).max(100).optional().meta({
    description:
      "Program and arguments that serve the plugin, for the node to start, watch and stop; absent with an address",
    examples: [["python3", "plugin.py"]],
  }),
  cwd: z.string().min(1).max(4096).optional().meta({
    description: "The folder that the command runs in; by default the node's",
  }),
  env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}(=[^\0]{0,32768})?$/)).max(100).optional().meta({
    description:
      "Environment variables for the command: NAME passes the node's on, NAME=value sets one. Without it the command has PATH, HOME, LANG, LC_ALL, TZ, TMPDIR and USER only",
  }),
  startTimeoutMs: z.int().min(100).max(3_600_000).optional().meta({
    description: "How long the command may take to answer after it was started, in milliseconds; by default 30000",
  }),
  protocol: z.enum(["auto", "velas", "original"]).default("auto").meta({
    description:
      "velas: velas.sphere.v1.PluginService; original: resources.Plugin of the 2020 node; auto: ask for the first, then the second",
  }),
});

/** An external plugin in the configuration. */
export type ExternalPlugin = z.infer<typeof externalPluginSchema>;

/** Plugins. */
export const plugins = z.strictObject({
  default: text({
    default: "demo",
    description:
      "The plugin of tasks that name none, as those of the original do; empty means that tasks must name one",
  }),
  workers: integer({
    default: 0,
    min: 0,
    max: 1024,
    description: "Threads that run WASM plugins; 0 means one a core",
  }),
  cpuPercent: integer({
    default: 0,
    min: 0,
    max: 102_400,
    description:
      "What WASM plugins may take of the machine together, in percent of one core, so 150 is one and a half; 0 is all of plugins.workers. Calls beyond it wait their turn",
  }),
  maxModuleBytes: size({
    default: "32MiB",
    min: 2 ** 10,
    max: 2 ** 30,
    description: "The largest WASM module, installed or brought by a requester. A Go plugin has 3 MiB",
  }),
  acceptModules: toggle({
    default: false,
    description:
      "Whether requesters may bring WASM modules of their own: upload them and run them by their SHA-256, without any permission. The node's own tasks always may",
  }),
  moduleCacheBytes: size({
    default: "256MiB",
    min: 2 ** 20,
    max: 2 ** 40,
    description:
      "What modules of requesters may take of the disk; those that were not used for longest make room. Each counts 64 KiB beside its bytes",
  }),
  moduleBytesPerRequester: size({
    default: "64MiB",
    min: 2 ** 17,
    max: 2 ** 40,
    description:
      "What the modules that one requester uploaded may take; over it, those of its modules that were not used for longest make room",
  }),
  allowUrlInstall: toggle({
    default: true,
    description:
      "Whether plugins may be installed from a URL. The node fetches it, and takes only what has the SHA-256 that was asked for",
  }),
  grants: texts({
    default: [],
    expectation: 'a list such as "weather:http:api.example.org"',
    description:
      "What WASM plugins may ask of the node, as plugin:permission; * for every plugin. Permissions are kv, clock, files.read, files.write and http:host; a plugin gets those that its manifest needs too",
  }),
  kvQuotaBytes: size({
    default: "1MiB",
    min: 2 ** 10,
    max: 2 ** 30,
    description: "What each plugin that is granted kv may keep; a key counts 1 KiB beside its value",
  }),
  maxGpuWaiting: integer({
    default: 16,
    min: 0,
    max: 100_000,
    description:
      "The most tasks that may wait for the GPU, which works on one at a time; more are refused as overloaded. Each holds one of tasks.maxRunning",
  }),
  external: externalPlugins(z.array(externalPluginSchema).max(1000), {
    default: [],
    description: "Plugins that run outside the node as gRPC servers",
  }),
});
