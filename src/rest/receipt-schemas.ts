import { z } from "@hono/zod-openapi";

const bytes = (description: string, example: number) =>
  z.int().min(0).max(Number.MAX_SAFE_INTEGER).openapi({ description, examples: [example] });
const hash = (description: string) =>
  z.string().openapi({
    description,
    examples: ["2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"],
  });
const hex = (description: string) => z.string().regex(/^0x[0-9a-f]*$/).openapi({ description, examples: ["0x5a17"] });
const nodeId = (description: string) =>
  z.string().openapi({ description, examples: ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"] });

export const Usage = z.object({
  wallMicros: bytes("Wall-clock time in the plugin, in microseconds.", 412),
  inputBytes: bytes("Bytes of input.", 5),
  outputBytes: bytes("Bytes of output.", 5),
  instructions: bytes("Metered instructions; 0 for a plugin that runs outside the node.", 4212),
  gpuMicros: bytes("Time on the node's GPU, in microseconds; absent when there was none.", 250_000).optional(),
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
  taskId: z.string().openapi({ description: "The task's id.", examples: ["count-1"] }),
  requester: z.string().openapi({ description: "The node id of who asked, or `anonymous`.", examples: ["anonymous"] }),
  plugin: z.string().openapi({ description: "The plugin that ran, as `name@version`.", examples: ["demo@1.0.0"] }),
  pluginSha256: hash("The SHA-256 of its module; empty for an external plugin."),
  function: z.string().openapi({ description: "The function that ran.", examples: ["greet"] }),
  inputSha256: hash("The SHA-256 of the input."),
  outputSha256: hash("The SHA-256 of the output."),
  usage: Usage,
  nondeterministic: Nondeterministic.optional(),
  finishedAt: bytes("When it ended by the provider's clock, in milliseconds since 1970.", 1_795_639_096_000),
  terms: z.object({
    chainId: bytes("The chain that has the channel.", 31_337),
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
