import { z } from "@hono/zod-openapi";
import { TASK_STATES } from "../core/mod.ts";
import { FunctionName } from "./plugin-schemas.ts";
import { ErrorCodeSchema } from "./problem-schema.ts";
import { Nondeterministic, TaskReceipt, Usage } from "./receipt-schemas.ts";
import { contentType, hash, Target, text, time } from "./schema-fields.ts";
import {
  EXAMPLE_TASK_ID,
  ID_FAULT,
  Instructions,
  MemoryBytes,
  OutputBytes,
  Priority,
  TimeoutMs,
} from "./task-spec-schemas.ts";

// What became of a task.

export const TaskId = z.string().min(1).max(128).regex(/^[A-Za-z0-9._~:-]+$/, ID_FAULT).openapi({
  description: "The task's id: the requester's own name for it, or one that the node drew.",
  examples: [EXAMPLE_TASK_ID],
});

export const TaskState = z.enum(TASK_STATES).openapi("TaskState", {
  description: "Where a task is in its life: queued, running, then one of four ends.",
  examples: ["succeeded"],
});

export const Task = z.object({
  id: TaskId,
  requester: text("The node id of who asked, or `anonymous`.", "anonymous"),
  target: Target.optional().openapi({ description: "The provider that it was sent to; absent when it ran here." }),
  plugin: text("The plugin as the task named it.", "demo"),
  resolvedPlugin: text("The plugin that ran or will run, as `name@version`; empty until it is known.", "demo@1.0.0"),
  pluginSha256: hash("The SHA-256 of its module; empty for an external plugin."),
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
  inputSha256: hash("The SHA-256 of the input, in hex."),
  outputSha256: hash("The SHA-256 of the output, in hex.").optional(),
  receipt: TaskReceipt.optional(),
}).openapi("Task", { description: "A task's record." });

export const TaskPage = z.object({
  tasks: z.array(Task).openapi({ description: "Newest first." }),
  nextPageToken: text("The `pageToken` of the next page; empty on the last one.", ""),
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
    id: EXAMPLE_TASK_ID,
    output: "world",
    contentType: "text/plain",
    usage: { wallMicros: 412, inputBytes: 5, outputBytes: 5, instructions: 4212 },
    replayed: false,
  }],
});
