import { isUtf8 } from "node:buffer";
import { type Command, InvalidArgumentError, Option } from "commander";
import { NodeError, TASK_STATES, type Usage, type Verification } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import {
  type ClientFlags,
  clientOf,
  durationOption,
  integerOption,
  sizeOption,
  withClientOptions,
  withExamples,
} from "./command.ts";
import type { CliContext } from "./context.ts";
import { writeOutput } from "./output.ts";
import { bringModule } from "./plugins-commands.ts";
import { openInput, readInput } from "./task-input.ts";
import { printReceipt } from "./task-receipt.ts";
import { addReceiptCheck } from "./task-receipt-check.ts";
import { showTask, showTasks, showUsage, type TaskJson } from "./task-view.ts";
import { showVerification, VERIFY, VERIFY_TARGETS, type VerifyFlags, verifyOf } from "./task-verify.ts";
import { assertSucceeded, watchTask } from "./task-watch.ts";
import { printable } from "./terminal.ts";

/** How long Ctrl-C waits for the node to take the cancellation. */
const CANCEL_TIMEOUT_MS = 5000;

interface TargetFlags extends ClientFlags {
  readonly target?: string;
}

interface SpecFlags extends TargetFlags {
  readonly inputFile?: string;
  readonly id?: string;
  readonly contentType?: string;
  readonly timeout?: number;
  readonly memory?: number;
  readonly maxOutput?: number;
  readonly instructions?: number;
  readonly priority?: number;
  readonly any?: boolean;
  readonly maxPrice?: string;
  readonly region?: string;
}

interface RunFlags extends SpecFlags, VerifyFlags {
  readonly wasm?: string;
  readonly function?: string;
  readonly outputFile?: string;
  readonly watch?: boolean;
}

interface ListFlags extends TargetFlags {
  readonly state?: string[];
  readonly limit: number;
  readonly pageToken?: string;
  readonly all?: boolean;
}

interface ResultJson {
  readonly id: string;
  readonly output?: string;
  readonly outputBase64?: string;
  readonly contentType: string;
  readonly usage: Usage;
  readonly replayed: boolean;
  readonly verification?: Verification;
}

interface PageJson {
  readonly tasks: TaskJson[];
  readonly nextPageToken: string;
}

/** `velas-sphere task …` */
export function addTaskCommands(program: Command, cli: CliContext): void {
  const task = program.command("task").summary("run and follow tasks").description(
    "Run a plugin's functions, at once or in the background, on the node or on another one (--target).",
  );

  withExamples(
    withTaskOptions(task.command("run").summary("run a task and print its output"))
      .description("Run a task and print its output. Ctrl-C cancels it.")
      .option("--output-file <path>", "write the output to a file")
      .option(
        "--wasm <file>",
        "run a function of this module: it is uploaded once, and run by its hash without permissions",
      )
      .option("--function <name>", "the function of --wasm (default: its first)")
      .option("--watch", "show progress and log lines while it runs")
      .addOption(VERIFY)
      .addOption(VERIFY_TARGETS)
      .action(async (plugin, fn, input, flags: RunFlags) =>
        runTask(cli, await withModule(cli, { plugin, fn, input, flags }))
      ),
    ["velas-sphere task run demo greet hello", "prints: world"],
    ["velas-sphere task run demo wordcount --input-file book.txt", "the input from a file"],
    ["date | velas-sphere task run demo echo --input-file -", "the input from a pipe"],
    ["velas-sphere task run demo greet hello --target 127.0.0.1:8081", "on another node"],
    ["velas-sphere task run demo greet hello --any --max-price 1000000", "on the best peer that is not dearer"],
    ["velas-sphere task run demo greet hello --verify 3", "what most of three providers say"],
    ["velas-sphere task run --wasm my.wasm --function greet hello", "a module of your own, installed nowhere"],
    ["velas-sphere task run --wasm my.wasm --function greet hello --any", "on a peer that takes modules of others"],
    ["velas-sphere task run demo greet hello --watch --timeout 5s", "with progress, 5 s at most"],
  );

  withExamples(
    withTaskOptions(task.command("submit").summary("queue a task and print its id"))
      .description("Queue a task durably and print its id. With --id, submitting it again changes nothing.")
      .action((plugin, fn, input, flags: SpecFlags) => submitTask(cli, { plugin, fn, input, flags })),
    ["velas-sphere task submit demo wordcount 'to be or not' --id count-1", "under a name of your own"],
    ["velas-sphere task watch $(velas-sphere task submit demo greet hello)", "submit, then follow"],
  );

  withExamples(
    withTarget(task.command("get").summary("show a task").argument("<id>", "the task's id"))
      .description("Show what is known of a task.")
      .action(async (id: string, flags: TargetFlags) => {
        const path = `/v1/tasks/${encodeURIComponent(id)}`;
        show(cli, flags, await clientOf(cli, flags).json<TaskJson>("GET", path, { query: { target: flags.target } }));
      }),
    ["velas-sphere task get count-1", "state, limits, times, use"],
    ["velas-sphere task get count-1 --json", "the same for programs"],
  );

  withExamples(
    withTarget(task.command("list").summary("list tasks, newest first"))
      .description("List tasks, newest first.")
      .addOption(new Option("--state <state...>", "only tasks in these states").choices(TASK_STATES))
      .option("--limit <count>", "tasks a page, 1 to 1000", integerOption(1, 1000), 50)
      .option("--page-token <token>", "go on where the last page ended")
      .option("--all", "all pages")
      .action((flags: ListFlags) => listTasks(cli, flags)),
    ["velas-sphere task list", "the 50 newest"],
    ["velas-sphere task list --state queued running", "what is not finished"],
    ["velas-sphere task list --all --json", "all of them, for programs"],
  );

  withExamples(
    withTarget(task.command("watch").summary("follow a task to its end").argument("<id>", "the task's id"))
      .description("Show a task's log and progress until it ends. The exit code tells how; Ctrl-C only stops watching.")
      .action(async (id: string, flags: TargetFlags) => {
        const options = { target: flags.target, json: flags.json === true, cli };
        const last = await watchTask(clientOf(cli, flags), id, options);
        if (flags.json !== true && last.state === "succeeded") showTask(last, cli.out);
        assertSucceeded(last);
      }),
    ["velas-sphere task watch count-1", "until it ends"],
    ["velas-sphere task watch count-1 --json", "a JSON object an event"],
  );

  withExamples(
    withTarget(task.command("output").summary("print a finished task's output").argument("<id>", "the task's id"))
      .description("Print the stored output of a task that succeeded.")
      .option("--output-file <path>", "write it to a file")
      .action((id: string, flags: RunFlags) => printOutput(clientOf(cli, flags), id, { cli, flags })),
    ["velas-sphere task output count-1", "to the terminal"],
    ["velas-sphere task output count-1 --output-file count.json", "to a file"],
  );

  withExamples(
    withTarget(task.command("receipt").summary("show a finished task's receipt").argument("<id>", "the task's id"))
      .description(
        "Show what the provider signed of a task that succeeded: who, what, its use and price. Checks the signature.",
      )
      .action((id: string, flags: TargetFlags) => printReceipt(cli, id, flags)),
    ["velas-sphere task receipt count-1", "who ran what, and for how much"],
    ["velas-sphere task receipt count-1 --json > count-1.receipt", "to keep it"],
  );

  addReceiptCheck(task, cli);

  withExamples(
    withTarget(task.command("cancel").summary("stop a task").argument("<id>", "the task's id"))
      .description("Stop a queued or running task. A finished one stays as it is.")
      .action(async (id: string, flags: TargetFlags) =>
        show(cli, flags, await cancel(clientOf(cli, flags), id, flags))
      ),
    ["velas-sphere task cancel count-1", "stops the plugin, too"],
  );
}

function withTarget(command: Command): Command {
  command.option("--target <host:port>", "the node that has or shall run the task (default: the node itself)");
  return withClientOptions(command);
}

function withTaskOptions(command: Command): Command {
  command
    .argument("[plugin]", "name, name@version or SHA-256 (default: the node's default plugin)")
    .argument("[function]", "a function of the plugin (default: its first)")
    .argument("[input]", "the input as text")
    .option("--input-file <path>", "the input from a file; - is standard input")
    .option("--content-type <type>", "media type of the input")
    .option("--id <id>", "your name for the task: the same id with the same input runs once")
    .option("--timeout <duration>", "the longest run, such as 30s", durationOption)
    .option("--memory <size>", "the most memory, such as 64MiB", sizeOption)
    .option("--max-output <size>", "the largest output, such as 1MiB", sizeOption)
    .option(
      "--instructions <number>",
      "the most instructions of a WASM plugin",
      integerOption(1, Number.MAX_SAFE_INTEGER),
    )
    .option("--priority <number>", "-100 to 100; higher leaves the queue first", integerOption(-100, 100))
    .option("--any", "on the known peer that fits best, instead of --target")
    .option("--max-price <wei>", "with --any: the most that the task may cost, all its limits spent", amountOption)
    .option("--region <region>", "with --any: only peers that say they are there");
  return withTarget(command);
}

interface TaskArguments<Flags> {
  readonly plugin: string | undefined;
  readonly fn: string | undefined;
  readonly input: string | undefined;
  readonly flags: Flags;
}

/** With `--wasm` the task's plugin is that module, by its hash, and the first argument is the input. The node brings it to the task's target. */
async function withModule(cli: CliContext, task: TaskArguments<RunFlags>): Promise<TaskArguments<RunFlags>> {
  const { plugin, fn, flags } = task;
  verifyOf(flags);
  if (flags.wasm === undefined) {
    if (flags.function === undefined) return task;
    throw new NodeError(
      "invalid_argument",
      "--function goes with --wasm; otherwise name the function behind the plugin",
    );
  }
  if (fn !== undefined) {
    throw new NodeError(
      "invalid_argument",
      "With --wasm the only argument is the input; name the function with --function",
    );
  }
  const { sha256, functions } = await bringModule(clientOf(cli, flags), flags.wasm, cli);
  return { plugin: sha256, fn: flags.function ?? functions[0], input: plugin, flags };
}

async function runTask(cli: CliContext, task: TaskArguments<RunFlags>): Promise<void> {
  const { plugin, fn, input, flags } = task;
  const client = clientOf(cli, flags);
  const verify = verifyOf(flags);
  if (flags.watch === true) return await runWatched(client, cli, task);
  if (flags.json === true || verify !== undefined || !plugin || !fn) {
    const result = await client.json<ResultJson>("POST", "/v1/tasks/run", {
      json: { ...await specJson(cli, task), verify },
    });
    if (flags.json === true) return cli.out.line(JSON.stringify(result));
    if (result.verification !== undefined) cli.err.line(showVerification(result.verification));
    const output = result.outputBase64 === undefined
      ? Buffer.from(result.output ?? "", "utf8")
      : Buffer.from(result.outputBase64, "base64");
    return await writeOutput([output], cli, { outputFile: flags.outputFile, contentType: result.contentType });
  }
  const answer = await client.open("POST", `/v1/run/${encodeURIComponent(plugin)}/${encodeURIComponent(fn)}`, {
    query: {
      target: flags.target,
      ...(chooses(flags) && { any: "true", maxPrice: flags.maxPrice, region: flags.region }),
      id: flags.id,
      timeoutMs: flags.timeout,
      memoryBytes: flags.memory,
      outputBytes: flags.maxOutput,
      instructions: flags.instructions,
      priority: flags.priority,
    },
    headers: { "content-type": flags.contentType ?? (input === undefined ? "application/octet-stream" : "text/plain") },
    body: await openInput({ input, inputFile: flags.inputFile }, cli),
  });
  await writeOutput(answer.body, cli, {
    outputFile: flags.outputFile,
    contentType: answer.headers["content-type"] ?? "",
  });
}

/** Submits the task, shows its events, prints its output. Ctrl-C cancels it on the node, which a closed connection would not. */
async function runWatched(client: NodeClient, cli: CliContext, task: TaskArguments<RunFlags>): Promise<void> {
  const { flags } = task;
  const json = flags.json === true;
  const record = await client.json<TaskJson>("POST", "/v1/tasks", { json: await specJson(cli, task) });
  let last: TaskJson;
  try {
    last = await watchTask(client, record.id, { target: flags.target, json, cli });
  } catch (error) {
    if (!cli.interrupted.aborted) throw error;
    await cancel(client, record.id, { ...flags, signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS) });
    throw new NodeError("canceled", `Canceled task ${record.id}`, { cause: error });
  }
  assertSucceeded(last);
  if (!json || flags.outputFile !== undefined) await printOutput(client, record.id, { cli, flags });
  if (cli.err.isTerminal && last.usage !== undefined) cli.err.line(cli.err.colors.dim(showUsage(last.usage)));
}

async function submitTask(cli: CliContext, task: TaskArguments<SpecFlags>): Promise<void> {
  const { flags } = task;
  const record = await clientOf(cli, flags).json<TaskJson>("POST", "/v1/tasks", { json: await specJson(cli, task) });
  cli.out.line(flags.json === true ? JSON.stringify(record) : printable(record.id));
}

async function listTasks(cli: CliContext, flags: ListFlags): Promise<void> {
  const client = clientOf(cli, flags);
  const tasks: TaskJson[] = [];
  let pageToken = flags.pageToken ?? "";
  do {
    const page: PageJson = await client.json("GET", "/v1/tasks", {
      query: { target: flags.target, state: flags.state?.join(","), pageSize: flags.limit, pageToken },
    });
    tasks.push(...page.tasks);
    pageToken = page.nextPageToken;
  } while (flags.all === true && pageToken !== "");

  if (flags.json === true) return cli.out.line(JSON.stringify({ tasks, nextPageToken: pageToken }));
  if (tasks.length === 0) return cli.err.line("No tasks.");
  showTasks(tasks, cli.out);
  if (pageToken !== "") cli.err.line(cli.err.colors.dim(`There are more: add --page-token ${pageToken}, or --all`));
}

async function printOutput(
  client: NodeClient,
  id: string,
  { cli, flags }: { cli: CliContext; flags: RunFlags },
): Promise<void> {
  const answer = await client.open("GET", `/v1/tasks/${encodeURIComponent(id)}/output`, {
    query: { target: flags.target },
  });
  const contentType = answer.headers["content-type"] ?? "";
  if (flags.json !== true || flags.outputFile !== undefined) {
    return await writeOutput(answer.body, cli, { outputFile: flags.outputFile, contentType });
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of answer.body) pieces.push(piece as Uint8Array);
  const output = Buffer.concat(pieces);
  const shown = isUtf8(output) ? { output: output.toString("utf8") } : { outputBase64: output.toString("base64") };
  cli.out.line(JSON.stringify({ id, ...shown, contentType }));
}

function cancel(
  client: NodeClient,
  id: string,
  { target, signal }: { readonly target?: string | undefined; readonly signal?: AbortSignal },
): Promise<TaskJson> {
  return client.json("POST", `/v1/tasks/${encodeURIComponent(id)}/cancel`, {
    query: { target },
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The spec that `/v1` takes as JSON. */
async function specJson(cli: CliContext, { plugin, fn, input, flags }: TaskArguments<SpecFlags>): Promise<object> {
  const bytes = await readInput({ input, inputFile: flags.inputFile }, cli);
  const limits = {
    timeoutMs: flags.timeout,
    memoryBytes: flags.memory,
    outputBytes: flags.maxOutput,
    instructions: flags.instructions,
  };
  return {
    id: flags.id,
    plugin,
    function: fn,
    ...(input === undefined ? { inputBase64: Buffer.from(bytes).toString("base64") } : { input }),
    contentType: flags.contentType,
    ...(Object.values(limits).some((limit) => limit !== undefined) ? { limits } : {}),
    priority: flags.priority,
    target: flags.target,
    ...(chooses(flags) && { any: { maxPrice: flags.maxPrice, region: flags.region } }),
  };
}

/** Whether any provider will do. Throws `invalid_argument` for options that go with `--any` alone. */
function chooses({ any, maxPrice, region, target }: SpecFlags): boolean {
  if (any !== true && (maxPrice !== undefined || region !== undefined)) {
    throw new NodeError("invalid_argument", "--max-price and --region choose among providers: add --any");
  }
  if (any === true && target !== undefined) throw new NodeError("invalid_argument", "Give either --target or --any");
  return any === true;
}

/** Reads an amount of money. */
function amountOption(text: string): string {
  if (!/^[0-9]{1,38}$/.test(text)) throw new InvalidArgumentError("It must be a whole number of wei.");
  return text;
}

function show(cli: CliContext, flags: ClientFlags, task: TaskJson): void {
  if (flags.json === true) cli.out.line(JSON.stringify(task));
  else showTask(task, cli.out);
}
