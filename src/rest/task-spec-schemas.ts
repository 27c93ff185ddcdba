import { z } from "@hono/zod-openapi";
import { MAX_REPLICAS, MIN_REPLICAS, TASK_ID_CHARACTERS } from "../core/mod.ts";
import { FunctionName } from "./plugin-schemas.ts";
import { contentType, Target } from "./schema-fields.ts";

// What a task is asked with.

/** A day; no task may be asked to run longer. */
const MAX_TIMEOUT_MS = 86_400_000;
/** 4 GiB: the reach of a 32-bit WASM memory. */
const MAX_BYTES = 4_294_967_296;

export const TimeoutMs = z.int().min(1).max(MAX_TIMEOUT_MS).openapi({
  description: "The longest run in the plugin, in milliseconds.",
  examples: [5000],
});
export const MemoryBytes = z.int().min(1).max(MAX_BYTES).openapi({
  description: "The largest memory of the plugin, in bytes.",
  examples: [67_108_864],
});
export const OutputBytes = z.int().min(1).max(MAX_BYTES).openapi({
  description: "The largest output, in bytes.",
  examples: [1_048_576],
});
export const Instructions = z.int().min(1).max(Number.MAX_SAFE_INTEGER).openapi({
  description: "The most metered instructions of a WASM plugin.",
  examples: [1_000_000_000],
});

export const Priority = z.int().min(-100).max(100).openapi({
  description: "Tasks of a higher priority leave the queue first.",
  examples: [0],
});

export const TaskLimits = z.strictObject({
  timeoutMs: TimeoutMs.optional(),
  memoryBytes: MemoryBytes.optional(),
  outputBytes: OutputBytes.optional(),
  instructions: Instructions.optional(),
}).openapi("TaskLimits", {
  description: "Bounds of one task. What is left out is the node's default; more than the node's maximum is refused.",
});

export const MaxPrice = z.string().regex(/^[0-9]{1,38}$/).openapi({
  description:
    "The most that the task may cost, all its limits spent: a whole number in the token's smallest unit (wei).",
  examples: ["1000000000000000"],
});
export const Region = z.string().min(1).max(32).regex(/^[\x20-\x7e]*$/).openapi({
  description: "Only providers that say they are there.",
  examples: ["eu-west"],
});
export const AnyProvider = z.strictObject({ maxPrice: MaxPrice.optional(), region: Region.optional() }).openapi(
  "AnyProvider",
  {
    description:
      "Runs the task at the known peer that fits best, instead of at `target`: one that has the plugin, allows the limits, and is not too dear.",
    examples: [{ maxPrice: "1000000000000000" }],
  },
);

export const EXAMPLE_TASK_ID = "01JDC5R7W3ZP9T6H2KXQ4V8MNB";

export const ID_FAULT = `choose 1 to 128 of the characters ${TASK_ID_CHARACTERS}`;

const taskSpecFields = {
  id: z.string().max(128).regex(/^[A-Za-z0-9._~:-]*$/, ID_FAULT).optional().openapi({
    examples: [EXAMPLE_TASK_ID],
    description:
      "The requester's own name for the task. The same id with the same input runs once; without an id the " +
      "node draws one.",
  }),
  plugin: z.string().max(160).optional().openapi({
    description: "The plugin: name, `name@version` or SHA-256; the node's default when it is left out.",
    examples: ["demo"],
  }),
  function: FunctionName.optional().openapi({ description: "The function; the plugin's first when it is left out." }),
  input: z.string().optional().openapi({ description: "The input as text.", examples: ["hello"] }),
  inputBase64: z.base64().optional().openapi({
    format: "base64",
    description: "The input as bytes, instead of `input`.",
    examples: ["aGVsbG8="],
  }),
  contentType: contentType("Media type of the input.").optional(),
  limits: TaskLimits.optional(),
  priority: Priority.optional(),
  target: Target.optional(),
  any: AnyProvider.optional(),
};

interface Places {
  readonly target?: string | undefined;
  readonly any?: unknown;
  readonly input?: string | undefined;
  readonly inputBase64?: string | undefined;
}

const ONE_PLACE = {
  holds: (spec: Places) => spec.any === undefined || spec.target === undefined,
  otherwise: { error: "Give either target or any, not both", path: ["any"] },
};
const ONE_INPUT = {
  holds: (spec: Places) => spec.input === undefined || spec.inputBase64 === undefined,
  otherwise: { error: "Give the input either as input or as inputBase64, not both", path: ["inputBase64"] },
};

export const TaskSpec = z.strictObject(taskSpecFields)
  .refine(ONE_PLACE.holds, ONE_PLACE.otherwise)
  .refine(ONE_INPUT.holds, ONE_INPUT.otherwise)
  .openapi("TaskSpec", {
    description: "What to run. An empty object runs the default plugin's first function.",
    examples: [{ plugin: "demo", function: "greet", input: "hello" }],
  });

export const Verify = z.strictObject({
  replicas: z.int().min(MIN_REPLICAS).max(MAX_REPLICAS).openapi({
    description: "How many providers run the task; more than half of them must agree.",
    examples: [3],
  }),
  targets: z.array(Target).max(MAX_REPLICAS + 3).optional().openapi({
    description:
      "The providers; up to three more than `replicas` stand in for such as cannot begin. Without them those that fit best are chosen, as with `any`.",
    examples: [["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"]],
  }),
}).openapi("Verify", {
  description:
    "Runs the task at several providers, pays each, and answers with the result that more than half of them agree on. For functions that give the same each time.",
});

export const RunSpec = z.strictObject({ ...taskSpecFields, verify: Verify.optional() })
  .refine(ONE_PLACE.holds, ONE_PLACE.otherwise)
  .refine(ONE_INPUT.holds, ONE_INPUT.otherwise)
  .refine((spec) => spec.verify === undefined || spec.target === undefined, {
    error: "A task that is verified runs at several providers: give verify.targets instead of target",
    path: ["target"],
  })
  .openapi("RunSpec", {
    description: "What to run and wait for.",
    examples: [{ plugin: "demo", function: "greet", input: "hello" }],
  });

export const TargetOnly = z.strictObject({ target: Target.optional() }).openapi("TargetOnly", {
  description: "Which node to ask.",
});
