import { z } from "@hono/zod-openapi";
import { MAX_REPLICAS, MIN_REPLICAS, TASK_STATES } from "../core/mod.ts";
import type { ErrorCode } from "../core/mod.ts";
import { PROBLEMS } from "./problem.ts";
import { Nondeterministic, TaskReceipt, Usage } from "./receipt-schemas.ts";

export { TaskReceipt, Usage };

// One set of schemas: requests are validated with them, the OpenAPI document is generated from them, and the tests hold
// every answer against them.

/** A day; no task may be asked to run longer. */
const MAX_TIMEOUT_MS = 86_400_000;
/** 4 GiB: the reach of a 32-bit WASM memory. */
const MAX_BYTES = 4_294_967_296;

const EXAMPLE_ID = "01JDC5R7W3ZP9T6H2KXQ4V8MNB";
const EXAMPLE_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const EXAMPLE_TIME = "2026-11-23T20:38:16.000Z";

const bytes = (description: string, example: number) =>
  z.int().min(0).max(Number.MAX_SAFE_INTEGER).openapi({ description, examples: [example] });
const time = (description: string) =>
  z.iso.datetime().openapi({ description: `${description} RFC 3339, UTC.`, examples: [EXAMPLE_TIME] });
const contentType = (description: string) =>
  z.string().max(255).regex(/^[\x20-\x7e]*$/).openapi({ description, examples: ["text/plain"] });

export const TaskId = z.string().min(1).max(128).regex(/^[A-Za-z0-9._~:-]+$/).openapi({
  description: "The task's id: the requester's own name for it, or one that the node drew.",
  examples: [EXAMPLE_ID],
});

export const Target = z.string().max(300).openapi({
  description:
    "The node to ask, as `host:port` or `dns:///host:port`, or with TLS as `https://host:port`; this node when it is left out.",
  examples: ["127.0.0.1:8081"],
});

export const PluginRef = z.string().min(1).max(160).openapi({
  description: "A plugin: its name, `name@version`, or the SHA-256 of its module.",
  examples: ["demo"],
});

export const FunctionName = z.string().max(128).openapi({
  description: "A function of the plugin.",
  examples: ["greet"],
});
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/).openapi({
  description: "A SHA-256, 64 lower-case hex digits.",
  examples: [EXAMPLE_SHA256],
});

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
export const DEFAULT_PAGE_SIZE = 50;
export const PageSize = z.int().min(1).max(1000).openapi({
  description: `The most tasks to return; ${DEFAULT_PAGE_SIZE} when it is left out.`,
  examples: [DEFAULT_PAGE_SIZE],
});
export const Priority = z.int().min(-100).max(100).openapi({
  description: "Tasks of a higher priority leave the queue first.",
  examples: [0],
});

export const TaskState = z.enum(TASK_STATES).openapi("TaskState", {
  description: "Where a task is in its life: queued, running, then one of four ends.",
  examples: ["succeeded"],
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

const taskSpecFields = {
  id: z.string().max(128).regex(/^[A-Za-z0-9._~:-]*$/).optional().openapi({
    examples: [EXAMPLE_ID],
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

export const ErrorCodeSchema = z.enum(Object.keys(PROBLEMS) as ErrorCode[]).openapi("ErrorCode", {
  description: "Why something failed, for programs. The set is closed.",
  examples: ["plugin_not_found"],
});

export const Task = z.object({
  id: TaskId,
  requester: z.string().openapi({ description: "The node id of who asked, or `anonymous`.", examples: ["anonymous"] }),
  target: Target.optional().openapi({ description: "The provider that it was sent to; absent when it ran here." }),
  plugin: z.string().openapi({ description: "The plugin as the task named it.", examples: ["demo"] }),
  resolvedPlugin: z.string().openapi({
    description: "The plugin that ran or will run, as `name@version`; empty until it is known.",
    examples: ["demo@1.0.0"],
  }),
  pluginSha256: z.string().openapi({
    description: "The SHA-256 of its module; empty for an external plugin.",
    examples: [EXAMPLE_SHA256],
  }),
  function: FunctionName,
  contentType: contentType("Media type of the input."),
  limits: z.object({
    timeoutMs: TimeoutMs,
    memoryBytes: MemoryBytes,
    outputBytes: OutputBytes,
    instructions: Instructions.optional(),
    noGpu: z.boolean().optional().openapi({
      description: "True when it must not work on a GPU, so that none of its time is paid for; absent otherwise.",
      examples: [true],
    }),
  }).openapi({
    description: "The bounds that hold for it.",
  }),
  priority: Priority,
  state: TaskState,
  reason: ErrorCodeSchema.optional(),
  message: z.string().optional().openapi({
    description: "The reason in words. Both are absent while the task has not ended, and when it succeeded.",
    examples: ["The time is over"],
  }),
  createdAt: time("When it was accepted."),
  startedAt: time("When a worker last began it.").optional(),
  finishedAt: time("When it ended.").optional(),
  expiresAt: time("When its record and output will be dropped.").optional(),
  attempts: z.int().min(0).openapi({ description: "How often a worker began it.", examples: [1] }),
  usage: Usage.optional(),
  outputContentType: contentType("Media type of the output.").optional(),
  nondeterministic: Nondeterministic.optional(),
  inputSha256: z.string().openapi({ description: "The SHA-256 of the input, in hex.", examples: [EXAMPLE_SHA256] }),
  outputSha256: z.string().optional().openapi({
    description: "The SHA-256 of the output, in hex.",
    examples: [EXAMPLE_SHA256],
  }),
  receipt: TaskReceipt.optional(),
}).openapi("Task", { description: "A task's record." });

export const TaskPage = z.object({
  tasks: z.array(Task).openapi({ description: "Newest first." }),
  nextPageToken: z.string().openapi({
    description: "The `pageToken` of the next page; empty on the last one.",
    examples: [""],
  }),
}).openapi("TaskPage");

export const Verification = z.object({
  agreed: z.int().min(1).openapi({ description: "How many gave this output with this media type.", examples: [2] }),
  asked: z.int().min(2).openapi({ description: "How many ran the task.", examples: [3] }),
  dissenters: z.array(Target).openapi({
    description: "Those that gave something else. Their scores fall.",
    examples: [["127.0.0.1:8083"]],
  }),
  failed: z.array(z.object({ target: Target, code: ErrorCodeSchema })).openapi({
    description: "Those that gave nothing, and why.",
    examples: [[]],
  }),
  meterAgreed: z.boolean().optional().openapi({
    description:
      "Whether those that agree counted the same instructions; absent when fewer than two counted any. Only plugins that are `fresh` cost the same each time.",
    examples: [true],
  }),
  pluginAgreed: z.boolean().optional().openapi({
    description:
      "Whether those that agree ran the same module, as they have signed; absent when fewer than two name one.",
    examples: [true],
  }),
  nondeterministic: z.array(z.string()).optional().openapi({
    description:
      "What made the result of those that agree depend on more than the input, if any say so. That they agree proves less then, and those that differ keep their scores.",
    examples: [["clock"]],
  }),
  receipts: z.array(z.object({ target: Target, receipt: TaskReceipt })).optional().openapi({
    description: "What each that gave something has signed, also those that gave something else.",
  }),
}).openapi("Verification", { description: "How the runs of a verified task compare." });

export const TaskResult = z.object({
  id: TaskId,
  output: z.string().optional().openapi({
    description: "The output as text; absent when it is not UTF-8.",
    examples: ["world"],
  }),
  outputBase64: z.base64().optional().openapi({
    format: "base64",
    description: "The output as bytes, when it is not UTF-8.",
    examples: ["/+8="],
  }),
  contentType: contentType("Media type of the output."),
  usage: Usage,
  replayed: z.boolean().openapi({
    description: "Whether this is the stored result of an earlier run of the same task.",
    examples: [false],
  }),
  nondeterministic: Nondeterministic.optional(),
  receipt: TaskReceipt.optional(),
  verification: Verification.optional(),
}).openapi("TaskResult", {
  description: "What a task gave.",
  examples: [{
    id: EXAMPLE_ID,
    output: "world",
    contentType: "text/plain",
    usage: { wallMicros: 412, inputBytes: 5, outputBytes: 5, instructions: 4212 },
    replayed: false,
  }],
});

export const PluginFunction = z.object({
  name: FunctionName,
  inputContentType: contentType("Media type of the input that it expects; empty means any."),
  outputContentType: contentType("Media type of its output; empty means application/octet-stream."),
  description: z.string().openapi({ description: "What it does.", examples: ["Answers a greeting."] }),
}).openapi("PluginFunction");

export const GpuLine = z.object({
  running: z.int().min(0).openapi({ description: "Calls that have the GPU: 0 or 1.", examples: [1] }),
  waiting: z.int().min(0).openapi({ description: "Calls that wait for it.", examples: [2] }),
}).openapi("GpuLine", {
  description: "The line for the node's GPU, as far as it is one plugin's; absent of a plugin that needs none.",
});

export const PluginUse = z.object({
  calls: bytes("Calls that have ended.", 12),
  failed: bytes("Those that failed or were stopped; what they consumed is not in the other numbers.", 1),
  wallMicros: bytes("Time in the plugin, in microseconds.", 5300),
  instructions: bytes("Metered instructions; 0 of an external plugin.", 1_000_000),
  gpuMicros: bytes("Time on the node's GPU, in microseconds.", 0),
}).openapi("PluginUse", {
  description: "What the plugin was used for since the node started; absent until it is called.",
});

export const Plugin = z.object({
  name: z.string().openapi({ description: "Its name.", examples: ["demo"] }),
  version: z.string().openapi({ description: "Its semantic version.", examples: ["1.0.0"] }),
  sha256: z.string().openapi({
    description: "The SHA-256 of its module; empty for an external plugin.",
    examples: [EXAMPLE_SHA256],
  }),
  runtime: z.enum(["wasm", "grpc"]).openapi({ description: "Where it runs: in the node, or outside." }),
  functions: z.array(PluginFunction).openapi({ description: "What tasks may call." }),
  description: z.string().openapi({ description: "What it does.", examples: ["Says world to hello."] }),
  isDefault: z.boolean().openapi({ description: "Whether a task that names no plugin gets it.", examples: [true] }),
  enabled: z.boolean().openapi({ description: "Whether its operator lets it take tasks.", examples: [true] }),
  ready: z.boolean().openapi({ description: "Whether it takes tasks now.", examples: [true] }),
  problem: z.string().optional().openapi({ description: "Why it is not ready.", examples: ["It is disabled"] }),
  address: z.string().optional().openapi({
    description: "Where an external plugin is dialled.",
    examples: ["127.0.0.1:8082"],
  }),
  gpu: GpuLine.optional(),
  sizeBytes: bytes("Size of its module, in bytes.", 16_384).optional(),
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
  sizeBytes: bytes("Its size, in bytes.", 148_000),
  name: z.string().openapi({
    description: "What its manifest says, or a name made of the SHA-256.",
    examples: ["demo"],
  }),
  version: z.string().openapi({ description: "What its manifest says, or 0.0.0.", examples: ["1.0.0"] }),
  functions: z.array(z.string()).openapi({
    description: "What tasks may call; the first is what a task runs that names none.",
    examples: [["greet"]],
  }),
  requester: z.string().openapi({
    description: "The node id of who uploaded it.",
    examples: ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
  }),
  lastUsedAt: time("When it was last run or asked for."),
  running: z.int().openapi({ description: "Tasks that run it now.", examples: [0] }),
}).openapi("Module", { description: "A WASM module that tasks name by its SHA-256, not installed." });

export const ModuleList = z.object({
  modules: z.array(UploadedModule).openapi({ description: "The least recently used first." }),
}).openapi("ModuleList");

export const Node = z.object({
  nodeId: z.string().openapi({
    description: "The node's id: its Ethereum address.",
    examples: ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
  }),
  name: z.string().openapi({ description: "The operator's name for it.", examples: ["My node"] }),
  version: z.string().openapi({ description: "Version of its software.", examples: ["0.1.0"] }),
  plugins: z.array(Plugin).openapi({ description: "The plugins that it offers." }),
  issuedAt: time("When this was said."),
  limits: z.object({
    inputBytes: bytes("The largest input, in bytes.", 16_777_216),
    outputBytes: bytes("The largest output, in bytes.", 16_777_216),
    memoryBytes: bytes("The largest memory, in bytes.", 268_435_456),
    timeoutMs: bytes("The longest run, in milliseconds.", 60_000),
    instructions: bytes("The most metered instructions.", 1_000_000_000_000).optional(),
  }).openapi({ description: "The bounds within which it accepts tasks." }),
  region: z.string().optional().openapi({ description: "Where it says it is.", examples: ["eu-west"] }),
  chainId: z.int().optional().openapi({ description: "The chain that it pays and is paid on.", examples: [31337] }),
  moduleBytes: bytes("The largest module that it takes from requesters; absent when it takes none.", 33_554_432)
    .optional(),
}).openapi("Node", { description: "What a node says of itself." });

export const Health = z.object({
  status: z.enum(["ok", "failing"]).openapi({ description: "Whether the process works.", examples: ["ok"] }),
}).openapi("Health");

export const Readiness = z.object({
  ready: z.boolean().openapi({ description: "Whether the node takes requests.", examples: [true] }),
  reasons: z.array(z.string()).openapi({ description: "Why it does not.", examples: [[]] }),
}).openapi("Readiness");

export const ProblemSchema = z.object({
  type: z.string().openapi({
    description: "Where the error is explained, relative to the node.",
    examples: ["/v1/docs#error-plugin_not_found"],
  }),
  title: z.string().openapi({ description: "The kind of error.", examples: ["There is no such plugin"] }),
  status: z.int().min(400).max(599).openapi({ description: "The HTTP status.", examples: [404] }),
  detail: z.string().openapi({
    description: "What failed, with which value, and what to do about it.",
    examples: ['No plugin "demp" here; GET /v1/plugins lists them'],
  }),
  code: ErrorCodeSchema,
  retryable: z.boolean().openapi({
    description: "Whether the same call may succeed later without a change.",
    examples: [false],
  }),
  retryAfterMs: z.int().min(0).optional().openapi({
    description: "When it may, in milliseconds from now; also the Retry-After header, in seconds.",
    examples: [1000],
  }),
  data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional().openapi({
    description: "The values that the detail names.",
    examples: [{ plugin: "demp" }],
  }),
  requestId: z.string().optional().openapi({
    description: "Names the call in the node's log; also the X-Request-Id header.",
    examples: [EXAMPLE_ID],
  }),
}).openapi("Problem", { description: "The body of every failed call (RFC 9457)." });

export const LegacyTask = z.object({
  target: Target.optional(),
  id: z.string().optional().openapi({
    description: "Echoed in the answer; it does not make the task idempotent.",
    examples: ["1"],
  }),
  input: z.string().optional().openapi({ description: "The input.", examples: ["hello"] }),
}).openapi("LegacyTask", { description: "A task as Velas Sphere Node took it. Keys match in any case." });

export const LegacyResult = z.object({
  id: z.string().optional().openapi({ description: "The id of the request; absent when empty.", examples: ["1"] }),
  output: z.string().openapi({ description: "The output.", examples: ["world"] }),
}).openapi("LegacyResult");

const LegacyFileKey = z.string().openapi({
  description: "The file's id: `/` and its name.",
  examples: ["/my_awesome_file"],
});
const LegacyBase64 = z.string().openapi({ description: "The content in base64.", examples: ["aGVsbG8="] });

export const LegacyFile = z.object({
  target: Target.optional(),
  name: z.string().openapi({ description: "The file's name.", examples: ["my_awesome_file"] }),
  data: LegacyBase64,
}).openapi("LegacyFile", { description: "A file as Velas Sphere Node took it. Keys match in any case." });

export const LegacyFileId = z.object({ id: LegacyFileKey }).openapi("LegacyFileId");

export const LegacyFileQuery = z.object({ target: Target.optional(), id: LegacyFileKey }).openapi("LegacyFileQuery");

export const LegacyFileData = z.object({
  id: LegacyFileKey,
  invoiceID: z.string().openapi({ description: "Always the same.", examples: ["my_awesome_invoice_id"] }),
  data: LegacyBase64.optional(),
}).openapi("LegacyFileData");

export const LegacyInfo = z.object({
  name: z.string().openapi({ description: "The operator's name for the node.", examples: ["My node"] }),
  version: z.string().openapi({ description: "Version of its software.", examples: ["0.1.0"] }),
}).openapi("LegacyInfo");

export const Landing = z.object({
  name: z.string().openapi({ description: "The operator's name for the node.", examples: ["My node"] }),
  version: z.string().openapi({ description: "Version of its software.", examples: ["0.1.0"] }),
  nodeId: z.string().openapi({
    description: "The node's id.",
    examples: ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
  }),
  links: z.record(z.string(), z.string()).openapi({
    description: "Where to go on.",
    examples: [{ docs: "/v1/docs" }],
  }),
}).openapi("Landing");
