import { z } from "@hono/zod-openapi";
import { count, hash, nodeId, text } from "./schema-fields.ts";

const hex = (description: string) => z.string().regex(/^0x[0-9a-f]*$/).openapi({ description, examples: ["0x5a17"] });

export const Usage = z.object({
  wallMicros: count("Wall-clock time in the plugin, in microseconds.", 412),
  inputBytes: count("Bytes of input.", 5),
  outputBytes: count("Bytes of output.", 5),
  instructions: count("Metered instructions; 0 for a plugin that runs outside the node.", 4212),
  gpuMicros: count("Time on the node's GPU, in microseconds; absent when there was none.", 250_000).optional(),
}).openapi("Usage", { description: "What a task consumed; the quantities that a price multiplies." });

export const Nondeterministic = z.array(z.string()).openapi({
  description:
    "What made the result depend on more than the module and the input: permissions that the plugin used (`clock`, `kv`, " +
    "`files.read`, `http`), and `relaxed-simd`. Absent when nothing did, and for external plugins, of which it is not known.",
  examples: [["clock"]],
});

export const TaskReceipt = z.object({
  version: z.union([z.literal(1), z.literal(2), z.literal(3)]).openapi({
    description: "The version of its form: 1; 2 when the task worked on a GPU; 3 when it is non-deterministic.",
    examples: [1],
  }),
  provider: nodeId("The node that ran the task, and has signed this."),
  taskId: text("The task's id.", "count-1"),
  requester: text("The node id of who asked, or `anonymous`.", "anonymous"),
  plugin: text("The plugin that ran, as `name@version`.", "demo@1.0.0"),
  pluginSha256: hash("The SHA-256 of its module; empty for an external plugin."),
  function: text("The function that ran.", "greet"),
  inputSha256: hash("The SHA-256 of the input."),
  outputSha256: hash("The SHA-256 of the output."),
  usage: Usage,
  nondeterministic: Nondeterministic.optional(),
  finishedAt: count("When it ended by the provider's clock, in milliseconds since 1970.", 1_795_639_096_000),
  terms: z.object({
    chainId: count("The chain that has the channel.", 31_337),
    channels: nodeId("The contract that has the channel."),
    channelId: hex("The channel that pays it."),
    quote: hex("The digest of the quote whose prices hold."),
    charge: z.string().regex(/^[0-9]{1,39}$/).openapi({
      description: "What it costs, in the token's smallest unit.",
      examples: ["1000"],
    }),
  }).optional().openapi({ description: "What it costs; absent when it was free." }),
  key: hex("The Ed25519 public key that signs the provider's receipts."),
  keySignature: hex("The node key's signature that vouches for it."),
  signature: hex("The key's signature."),
}).openapi("TaskReceipt", {
  description:
    "A provider's signed word on a task that succeeded, for tasks that it keeps; not in lists. docs/protocol.md says what is signed.",
});
