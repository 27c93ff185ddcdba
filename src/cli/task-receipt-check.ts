import { createHash } from "node:crypto";
import type { Command } from "commander";
import { isTaskReceiptSigned, NodeError, type TaskReceipt } from "../core/mod.ts";
import { withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { openInput, readInput } from "./task-input.ts";
import { showReceipt } from "./task-view.ts";

interface CheckFlags {
  readonly provider?: string;
  readonly input?: string;
  readonly output?: string;
  readonly json?: boolean;
}

/** A receipt has about 2 KB; more is something else. */
const MAX_RECEIPT_BYTES = 1 << 20;
const TEXTS = ["provider", "taskId", "requester", "plugin", "pluginSha256", "function", "inputSha256", "outputSha256"];
const SIGNATURES = ["key", "keySignature", "signature"];
const VERSIONS: ReadonlySet<unknown> = new Set([1, 2, 3] satisfies TaskReceipt["version"][]);

/** `velas-sphere task check-receipt` */
export function addReceiptCheck(task: Command, cli: CliContext): void {
  const command = task.command("check-receipt").summary("check a receipt that was kept").argument(
    "<file>",
    "a receipt in JSON, or - for standard input",
  );
  withExamples(
    withOutputOptions(command)
      .description(
        "Check a task's receipt that was kept, without asking any node: whether the provider that it names has signed just this. " +
          "Whether it is of the task that you mean its id and hashes say: compare them with --input, --output and --provider.",
      )
      .option("--input <file>", "the task's input: its hash must be the receipt's")
      .option("--output <file>", "the task's output: likewise")
      .option("--provider <node-id>", "the node that must have signed it")
      .action((file: string, flags: CheckFlags) => checkReceipt(cli, file, flags)),
    ["velas-sphere task check-receipt count-1.receipt", "whether it holds"],
    ["velas-sphere task check-receipt count-1.receipt --input book.txt --output count.json", "and is of these files"],
    ["velas-sphere task receipt count-1 --json | velas-sphere task check-receipt - --json", "from a pipe"],
  );
}

/**
 * Throws `target_misbehaved` for a receipt that its provider has not signed, or another one than asked for, `data_corrupt` for an input or
 * output with another hash, and `invalid_argument` for what is no receipt.
 */
async function checkReceipt(cli: CliContext, file: string, flags: CheckFlags): Promise<void> {
  const places = [file, flags.input, flags.output].filter((place) => place === "-");
  if (places.length > 1) throw new NodeError("invalid_argument", "Only one of the files can be standard input (-)");
  const receipt = receiptOf(await readInput({ inputFile: file }, cli), file);
  const hashes = [["input", flags.input, receipt.inputSha256], ["output", flags.output, receipt.outputSha256]] as const;
  const faults: NodeError[] = [];
  const checked: Record<string, boolean> = { signed: isTaskReceiptSigned(receipt) };
  if (!checked["signed"]) {
    faults.push(new NodeError("target_misbehaved", `The receipt is not signed by ${receipt.provider}`));
  }
  if (flags.provider !== undefined) {
    checked["providerMatches"] = flags.provider.toLowerCase() === receipt.provider.toLowerCase();
    if (!checked["providerMatches"]) {
      faults.push(
        new NodeError("target_misbehaved", `The receipt names the provider ${receipt.provider}, not ${flags.provider}`),
      );
    }
  }
  for (const [name, path, said] of hashes) {
    if (path === undefined) continue;
    const sha256 = await hashOf(path, cli);
    checked[`${name}Matches`] = sha256 === said;
    if (sha256 === said) continue;
    faults.push(
      new NodeError("data_corrupt", `${path} has the SHA-256 ${sha256}, and the receipt names the ${name} ${said}`),
    );
  }
  if (flags.json === true) cli.out.line(JSON.stringify(checked));
  else showReceipt(receipt, cli.out);
  const [first, ...others] = faults;
  if (first === undefined) return;
  throw new NodeError(first.code, [first, ...others].map(({ message }) => message).join("; "));
}

async function hashOf(path: string, cli: CliContext): Promise<string> {
  const hash = createHash("sha256");
  const content = await openInput({ inputFile: path }, cli);
  if (content instanceof Uint8Array) hash.update(content);
  else for await (const piece of content) hash.update(piece as Uint8Array);
  return hash.digest("hex");
}

/** The receipt in a text, as far as its form goes. */
function receiptOf(bytes: Uint8Array, file: string): TaskReceipt {
  const refuse = (why: string) => new NodeError("invalid_argument", `${file} holds no receipt: ${why}`);
  if (bytes.length > MAX_RECEIPT_BYTES) throw refuse(`it has ${bytes.length} bytes`);
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new NodeError("invalid_argument", `${file} holds no receipt: it is not JSON`, { cause });
  }
  if (typeof value !== "object" || value === null) throw refuse("it is no object");
  if (!VERSIONS.has(value["version"])) {
    throw refuse(`its version is ${JSON.stringify(value["version"])?.slice(0, 40)}, and this program knows 1 to 3`);
  }
  for (const name of [...TEXTS, ...SIGNATURES]) {
    if (typeof value[name] !== "string") throw refuse(`its ${name} is no text`);
  }
  if (Number.isNaN(new Date(value["finishedAt"] as number).getTime())) throw refuse("its finishedAt is no time");
  const { usage, terms, nondeterministic } = value as { usage?: unknown; terms?: unknown; nondeterministic?: unknown };
  if (!hasAll(usage, ["wallMicros", "inputBytes", "outputBytes", "instructions"], isNumber)) {
    throw refuse("its usage is not complete");
  }
  if (terms !== undefined && !hasAll(terms, ["channels", "channelId", "quote", "charge"], isText)) {
    throw refuse("its terms are not complete");
  }
  const isList = Array.isArray(nondeterministic) && nondeterministic.every((cause) => typeof cause === "string");
  if (nondeterministic !== undefined && !isList) throw refuse("its nondeterministic is no list of texts");
  return value as unknown as TaskReceipt;
}

const isNumber = (value: unknown): boolean => typeof value === "number";
const isText = (value: unknown): boolean => typeof value === "string";

function hasAll(value: unknown, names: readonly string[], isGood: (value: unknown) => boolean): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => isGood((value as Record<string, unknown>)[name]));
}
