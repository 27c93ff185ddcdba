import {
  faultOfReceipt,
  isEnd,
  type Log,
  type NodeError,
  type NodeId,
  type ReceiptExpectation,
  type RequesterId,
  type TaskReceipt,
  type TaskRecord,
  toNodeError,
} from "../core/mod.ts";
import { misbehaved } from "./request-failures.ts";

export interface ReceiptCheckOptions {
  /** This node, as the requester of all its tasks. */
  readonly self: RequesterId;
  /** Which node is at a target, as it proves; without it a receipt may be of any provider. */
  readonly nodeAt?: ((target: string, signal: AbortSignal) => Promise<NodeId>) | undefined;
  /** Hears of a provider whose receipt is forged or of another task. */
  readonly onDissent?: ((target: string, error: NodeError) => void) | undefined;
  readonly log: Log;
}

const ASK_MS = 5000;
const MAX_KNOWN_NODES = 1000;

/** Decides whether the receipts of providers count. */
export class ReceiptCheck {
  readonly #options: ReceiptCheckOptions;
  readonly #nodes = new Map<string, NodeId>();

  constructor(options: ReceiptCheckOptions) {
    this.#options = options;
  }

  /**
   * Holds an answer's receipt against what is known of the task. Gives the answer, without its receipt when the provider cannot be
   * asked who it is. Throws `target_misbehaved` for a receipt that is forged, or of another task. An answer without one passes: older
   * providers sign none.
   */
  async check<T extends { readonly receipt?: TaskReceipt }>(
    answer: T,
    { target, ...expected }: ReceiptExpectation & { readonly target: string },
  ): Promise<T> {
    const { receipt, ...rest } = answer;
    if (receipt === undefined) return answer;
    const { self, nodeAt, log } = this.#options;
    const fault = faultOfReceipt(receipt, { requester: self, ...expected });
    if (fault !== undefined) throw this.#faulty(target, fault);
    if (nodeAt === undefined || this.#nodes.get(target) === receipt.provider) return answer;
    try {
      const node = await nodeAt(target, AbortSignal.timeout(ASK_MS));
      if (this.#nodes.size >= MAX_KNOWN_NODES) this.#nodes.clear();
      this.#nodes.set(target, node);
      if (node.toLowerCase() === receipt.provider.toLowerCase()) return answer;
    } catch (error) {
      log.warn("A receipt is not kept, since its provider does not say who it is", {
        target,
        id: receipt.taskId,
        error: toNodeError(error).message,
      });
      return rest as T;
    }
    throw this.#faulty(
      target,
      `its receipt names the provider ${receipt.provider}, and ${this.#nodes.get(target)} is there`,
    );
  }

  #faulty(target: string, what: string): NodeError {
    const error = misbehaved(target, what);
    this.#options.onDissent?.(target, error);
    return error;
  }

  /** What a provider says of a task, failed when its receipt does not count: a result that nobody answers for is none. */
  async checked(said: TaskRecord, expected: { readonly target: string; readonly id: string; readonly input?: string }) {
    const { target, id, input } = expected;
    const { receipt, ...bare } = said;
    if (receipt === undefined || !isEnd(said.state)) return bare as TaskRecord;
    try {
      return await this.check(said, {
        target,
        taskId: id,
        inputSha256: input,
        outputSha256: said.outputSha256,
        usage: said.usage,
        nondeterministic: said.nondeterministic,
      });
    } catch (cause) {
      const { code, message } = toNodeError(cause);
      const { usage: _, outputSha256: __, outputContentType: ___, nondeterministic: ____, ...rest } = bare;
      return { ...rest, state: "failed" as const, reason: code, message };
    }
  }
}
