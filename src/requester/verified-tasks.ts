import {
  type CallContext,
  type ErrorCode,
  type Log,
  MAX_REPLICAS,
  MIN_REPLICAS,
  newUlid,
  NodeError,
  type NodeId,
  sha256Hex,
  targetName,
  type TaskResult,
  type TaskService,
  type TaskSpec,
  toNodeError,
  type Verification,
  type VerifiedResult,
  type VerifiedRunner,
  type VerifyWish,
} from "../core/mod.ts";
import { type ChosenTarget, fittedTo, isUnbegun, type ProviderChooser } from "./any-tasks.ts";

export interface VerifiedTasksOptions {
  readonly wish: VerifyWish;
  /** Absent where no peers are known: every wish names its targets then. */
  readonly chooser: ProviderChooser | undefined;
  readonly at: (target: string) => TaskService;
  /** Which node is at a target, as it proves; without it targets count as different nodes. */
  readonly nodeAt: ((target: string, signal: AbortSignal) => Promise<NodeId>) | undefined;
  /** Hears of a provider whose answer most others contradict. */
  readonly onDissent: ((target: string, error: NodeError) => void) | undefined;
  readonly log: Log;
  /** Milliseconds since the epoch, for the ids of tasks that have none. */
  readonly now: () => number;
  /** How long the last are waited for at least once most agree; 2 s by default. */
  readonly graceMs?: number | undefined;
}

/** How many providers stand in for such as cannot begin. */
const MAX_SPARES = 3;
const MAX_ID = 128;
const GRACE_MS = 2000;
/** So much of a hash is shown to people. */
const PREFIX = 12;

interface Answer {
  /** Which of the replicas gave it, from 0. */
  readonly place: number;
  readonly target: string;
  readonly result: TaskResult;
  /** SHA-256 of the output. */
  readonly hash: string;
  /** Equal for answers that agree. */
  readonly key: string;
}

interface Failure {
  readonly place: number;
  readonly target: string;
  readonly error: NodeError;
}

/** What is known of one task's runs, in the order of the replicas at the end. */
interface Runs {
  readonly answers: Answer[];
  /** The last failure of each replica that gave nothing. */
  readonly failures: Failure[];
}

/** Runs a task at several nodes at once and believes what more than half of them say. */
export class VerifiedTasks implements VerifiedRunner {
  readonly #options: VerifiedTasksOptions;
  readonly #targets: readonly string[] | undefined;

  constructor(options: VerifiedTasksOptions) {
    this.#options = options;
    this.#targets = checkWish(options.wish);
  }

  async run(spec: TaskSpec, ctx: CallContext): Promise<VerifiedResult> {
    const { replicas } = this.#options.wish;
    if (spec.id.length > MAX_ID - 2) {
      throw new NodeError(
        "invalid_argument",
        `The id of a task that is verified has at most ${MAX_ID - 2} characters, since each run gets one of its own: ${
          JSON.stringify(spec.id)
        } has ${spec.id.length}`,
        { data: { field: "id" } },
      );
    }
    const named = this.#targets?.map((target) => ({ target }));
    const waiting = [...named ?? await this.#choose(spec, ctx)];
    ctx.signal.throwIfAborted();
    const runs = await this.#runAll(spec, ctx, waiting);
    const most = majorityOf(runs.answers, replicas);
    if (most === undefined) {
      ctx.signal.throwIfAborted();
      throw disputed(runs, replicas);
    }
    return this.#judged(spec, runs, most);
  }

  async #choose({ plugin, function: fn, limits, input }: TaskSpec, ctx: CallContext): Promise<readonly ChosenTarget[]> {
    const { chooser, wish: { replicas, wish } } = this.#options;
    if (chooser === undefined) {
      throw new NodeError("unimplemented", "This node knows no peers: name the targets that shall verify the task");
    }
    const need = { ...wish, plugin, function: fn, limits, inputBytes: input.length };
    const chosen = await chooser.choose(need, ctx.signal);
    if (chosen.length < replicas) {
      throw new NodeError(
        "no_peer_fits",
        `${replicas} providers are to verify the task, but only ${chosen.length} of those known fit: ask for fewer replicas, or take more peers in (peers add)`,
        { data: { replicas, fitting: chosen.length } },
      );
    }
    return chosen.slice(0, replicas + MAX_SPARES);
  }

  /** Ends when all runs have, when the caller's time is over, or some time after most agree. Runs that are left are canceled. */
  #runAll(spec: TaskSpec, ctx: CallContext, waiting: ChosenTarget[]): Promise<Runs> {
    const { wish: { replicas }, graceMs = GRACE_MS } = this.#options;
    const runs: Runs = { answers: [], failures: [] };
    // With an id each provider keeps its run, and signs a receipt.
    const id = spec.id === "" ? newUlid(this.#options.now()) : spec.id;
    const stop = new AbortController();
    const running = new Map<number, string>();
    const nodes = new Map<string, string>();
    const startedAt = performance.now();
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      let ended = false;
      const end = (reason: unknown) => {
        if (ended) return;
        ended = true;
        clearTimeout(timer);
        ctx.signal.removeEventListener("abort", onAbort);
        const error = toNodeError(reason);
        for (const [place, target] of running) runs.failures.push({ place, target, error });
        runs.answers.sort((a, b) => a.place - b.place);
        runs.failures.sort((a, b) => a.place - b.place);
        stop.abort(reason);
        resolve(runs);
      };
      const onAbort = () => end(ctx.signal.reason);
      ctx.signal.addEventListener("abort", onAbort);

      const replica = async (place: number) => {
        const own = { ...spec, id: `${id}~${place + 1}` };
        for (;;) {
          const chosen = waiting.shift()!;
          const { target } = chosen;
          running.set(place, target);
          try {
            const result = await this.#runAt(target, fittedTo(chosen, own), {
              ctx: { ...ctx, signal: stop.signal },
              nodes,
            });
            if (!ended) runs.answers.push(answerOf(result, { place, target }));
            break;
          } catch (cause) {
            if (ended) break;
            const error = toNodeError(cause);
            if (waiting.length > 0 && (cause instanceof Unbegun || isUnbegun(error))) continue;
            runs.failures.push({ place, target, error });
            break;
          }
        }
        running.delete(place);
        if (ended) return;
        if (running.size === 0) return end(undefined);
        if (timer === undefined && majorityOf(runs.answers, replicas) !== undefined) {
          const late = new NodeError("canceled", "Most providers had agreed before this one answered");
          timer = setTimeout(() => end(late), Math.max(graceMs, performance.now() - startedAt));
        }
      };
      for (let place = 0; place < replicas; place++) void replica(place);
    });
  }

  async #runAt(
    target: string,
    spec: TaskSpec,
    { ctx, nodes }: { readonly ctx: CallContext; readonly nodes: Map<string, string> },
  ): Promise<TaskResult> {
    const { nodeAt, at } = this.#options;
    if (nodeAt !== undefined) {
      const nodeId = await nodeAt(target, ctx.signal).catch((cause) => {
        throw new Unbegun(toNodeError(cause));
      });
      const node = nodeId.toLowerCase();
      const other = nodes.get(node);
      if (other !== undefined) {
        throw new Unbegun(
          new NodeError("failed_precondition", `${target} is the same node as ${other}, whose word counts once`, {
            data: { target, nodeId },
          }),
        );
      }
      nodes.set(node, target);
    }
    return await at(target).run(spec, ctx);
  }

  #judged(spec: TaskSpec, { answers, failures }: Runs, most: readonly Answer[]): VerifiedResult {
    const { wish: { replicas }, log, onDissent } = this.#options;
    const [first] = most;
    const dissenters = answers.filter(({ key }) => key !== first!.key);
    const causes = causesOf(most);
    for (const { target, hash, result } of dissenters) {
      const fields = { target, plugin: spec.plugin, function: spec.function, said: hash, agreed: first!.hash };
      log.warn("A provider gave another result than most", { ...fields, contentType: result.contentType });
      // Who depends on more than the input may differ and be honest.
      if (causes.length > 0) continue;
      onDissent?.(
        target,
        new NodeError(
          "target_misbehaved",
          `It gave ${shown(hash)} where ${most.length} of ${replicas} providers gave ${shown(first!.hash)}`,
          { data: { target } },
        ),
      );
    }
    const receipts = answers.flatMap(({ target, result: { receipt } }) => receipt ? [{ target, receipt }] : []);
    const modules = most.flatMap(({ result: { receipt } }) => receipt?.pluginSha256 || []);
    const meters = most.map(({ result }) => result.usage.instructions).filter((count) => count > 0);
    const verification: Verification = {
      agreed: most.length,
      asked: replicas,
      dissenters: dissenters.map(({ target }) => target),
      failed: failures.map(({ target, error }) => ({ target, code: error.code })),
      ...(meters.length > 1 && { meterAgreed: meters.every((count) => count === meters[0]) }),
      ...(modules.length > 1 && { pluginAgreed: modules.every((sha256) => sha256 === modules[0]) }),
      ...(causes.length > 0 && { nondeterministic: causes }),
      ...(receipts.length > 0 && { receipts }),
    };
    const { receipt: _, ...result } = first!.result;
    return { ...result, id: spec.id || result.id, verification };
  }
}

/** The provider has surely not begun. */
class Unbegun extends NodeError {
  constructor(cause: NodeError) {
    super(cause.code, cause.message, { cause, data: cause.data, retryable: cause.retryable });
  }
}

/** Checks a wish and gives its targets in their one spelling. */
function checkWish({ replicas, targets, wish }: VerifyWish): readonly string[] | undefined {
  const refuse = (message: string, field: string): NodeError =>
    new NodeError("invalid_argument", message, { data: { field } });
  if (!Number.isInteger(replicas) || replicas < MIN_REPLICAS || replicas > MAX_REPLICAS) {
    throw refuse(
      `A task is verified by ${MIN_REPLICAS} to ${MAX_REPLICAS} replicas, not ${replicas}`,
      "verify.replicas",
    );
  }
  if (targets === undefined) return undefined;
  if (wish !== undefined) throw refuse("Give the targets that verify a task, or any, not both", "verify.targets");
  const read = targets.map(targetName);
  const twice = read.find((target, place) => read.indexOf(target) !== place);
  if (twice !== undefined) {
    throw refuse(`The target ${twice} is named twice: each provider's word counts once`, "verify.targets");
  }
  const most = replicas + MAX_SPARES;
  if (read.length < replicas || read.length > most) {
    throw refuse(
      `${replicas} replicas take ${replicas} targets, or up to ${most} with those that stand in; ${read.length} are named`,
      "verify.targets",
    );
  }
  return read;
}

function answerOf(result: TaskResult, from: { readonly place: number; readonly target: string }): Answer {
  const hash = sha256Hex(result.output);
  return { ...from, result, hash, key: `${hash} ${result.contentType}` };
}

/** The answers of more than half of all replicas that agree. */
function majorityOf(answers: readonly Answer[], replicas: number): readonly Answer[] | undefined {
  for (const { key } of answers) {
    const same = answers.filter((answer) => answer.key === key);
    if (same.length * 2 > replicas) return same;
  }
  return undefined;
}

/** What results depend on beside the input, as those who gave them say. */
function causesOf(answers: readonly Answer[]): readonly string[] {
  return [...new Set(answers.flatMap(({ result }) => result.nondeterministic ?? []))].sort();
}

/** Why there is no result to believe, with who said what. */
function disputed({ answers, failures }: Runs, replicas: number): NodeError {
  const said = [
    ...answers.map(({ target, hash, result }) => `${target} gave ${shown(hash)} (${result.contentType || "no type"})`),
    ...failures.map(({ target, error }) => `${target} failed (${error.code}: ${error.message.slice(0, 200)})`),
  ].join("; ");
  const differ = new Set(answers.map(({ key }) => key)).size > 1;
  const { code, count } = mostFrequent(failures.map(({ error }) => error.code));
  const data = { asked: replicas, answered: answers.length, failed: failures.length };
  if (code !== undefined && (count * 2 > replicas || !differ)) {
    return new NodeError(code, `Of ${replicas} providers too few gave a result to compare: ${said}`, { data });
  }
  const causes = causesOf(answers);
  if (causes.length > 0) {
    return new NodeError(
      "failed_precondition",
      `Running it again cannot verify this task, since its result depends on more than its input (${
        causes.join(", ").slice(0, 200)
      }), and no more than half of ${replicas} providers agree: ${said}. Run it at one provider, or use a function that depends on its input alone`,
      { data: { ...data, nondeterministic: causes.join(",").slice(0, 200) } },
    );
  }
  return new NodeError(
    "target_misbehaved",
    `No more than half of ${replicas} providers agree on the result: ${said}. Ask more of them, or see whether the function gives the same each time`,
    { data },
  );
}

function mostFrequent(codes: readonly ErrorCode[]): { readonly code: ErrorCode | undefined; readonly count: number } {
  let best: { code: ErrorCode | undefined; count: number } = { code: undefined, count: 0 };
  for (const code of codes) {
    const count = codes.filter((other) => other === code).length;
    if (count > best.count) best = { code, count };
  }
  return best;
}

function shown(hash: string): string {
  return `${hash.slice(0, PREFIX)}…`;
}
