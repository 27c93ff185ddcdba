import {
  type ChannelView,
  type Hex32,
  NodeError,
  type NodeId,
  paymentRequired,
  type Quote,
  type Receipt,
  type RequesterId,
  type TaskKey,
  toHex,
  type Voucher,
  type Wei,
  wei,
} from "../core/mod.ts";
import { type BookEntry, toText } from "./books.ts";
import type { ChannelOnChain } from "./channel-on-chain.ts";

/** The books of one channel that pays this node. */
export interface EarningState {
  readonly channelId: Hex32;
  readonly chain: ChannelOnChain;
  /** The newest quote; what arrives before it expires is charged by it. */
  readonly quote?: Quote;
  /** Quotes that it replaced and that held still then, the newest first. */
  readonly earlier?: readonly Quote[];
  /** The sum of the newest voucher, and its signature. */
  readonly paid: Wei;
  readonly signature?: Uint8Array;
  readonly charged: Wei;
  readonly items: number;
  /** The number of the last receipt. */
  readonly sequence: number;
  /** The last receipt as this node signed it; absent in books of earlier versions until the next one. */
  readonly receipt?: { readonly receipt: Receipt; readonly signature: Uint8Array };
  readonly closed: boolean;
  /** Whether this node is ending it with the newest voucher: a newer one would be worth nothing. */
  readonly closing?: boolean;
  /** Since when something is charged that no voucher pays, in milliseconds since the epoch. */
  readonly owedSince?: number;
  /** What tasks cost whose end is being stored, by {@link dueKey}; each is charged or dropped at the next start if it is still here then. */
  readonly due?: Readonly<Record<string, Wei>>;
}

/** A state of which two members move in place. */
type MovingState = Omit<EarningState, "charged" | "items"> & { charged: Wei; items: number };

/** Names a task in the books. */
export function dueKey({ requester, id }: TaskKey): string {
  return `${requester} ${id}`;
}

/** Reads what {@link dueKey} made: no requester's id has a space. */
export function taskOfDue(key: string): TaskKey {
  const at = key.indexOf(" ");
  return { requester: key.slice(0, at) as RequesterId, id: key.slice(at + 1) };
}

/**
 * The payee's side of one channel: nothing is worked on that is not covered by the newest voucher and the credit that the node chose to
 * give. `charged` never passes that cover, because what a task costs is bounded by what was reserved for it.
 */
export class EarningAccount implements BookEntry {
  readonly kind = "earning";
  readonly key: Hex32;
  /** Another object with each change but those of what is charged, which each task makes. */
  #state: MovingState;
  /** All of the state that tasks leave as it is, as text. */
  #terms: { readonly of: EarningState; readonly text: string } | undefined;
  #reserved = 0n;
  /** A voucher that is being written. */
  #held: { readonly paid: Wei; readonly signature: Uint8Array } | undefined;

  constructor(state: EarningState) {
    this.key = state.channelId;
    this.#state = { ...state };
  }

  /** As it is now: what is charged moves in it. */
  get state(): EarningState {
    return this.#state;
  }

  /** Set aside for work under way. */
  get reserved(): bigint {
    return this.#reserved;
  }

  /** The most that may still be charged for what runs, and for tasks of the process before that are not charged yet. */
  get underWay(): Wei {
    const due = Object.values(this.#state.due ?? {}).reduce((sum, charge) => sum + charge, 0n);
    return wei(this.#reserved + due);
  }

  /** What vouchers are worth: never more than the deposit. */
  get paid(): bigint {
    const { paid, chain } = this.#state;
    return paid < chain.deposit ? paid : chain.deposit;
  }

  /** What was charged and no voucher pays. */
  get debt(): bigint {
    const debt = this.#state.charged - this.paid;
    return debt > 0n ? debt : 0n;
  }

  /** Throws `payment_required` when the channel has ended or is about to. */
  checkOpen(): void {
    const { closed, closing, chain, channelId } = this.#state;
    if (!closed && closing !== true && chain.exitAt === 0) return;
    throw paymentRequired(`Channel ${channelId} is ${closed ? "closed" : "ending"}: open another one`, {
      channelId,
      state: closed ? "closed" : "exiting",
    });
  }

  /** Sets aside the most that something may cost. Throws `payment_required` when voucher and credit do not cover it. */
  reserve(max: Wei, creditOf: (account: EarningAccount) => bigint): void {
    const { channelId, charged } = this.#state;
    this.checkOpen();
    const reserved = this.#reserved + max;
    const needed = charged + reserved;
    if (needed > this.paid) {
      const credit = creditOf(this);
      if (needed > this.paid + credit) {
        throw paymentRequired(
          `This may cost ${max} wei; ${charged} are charged, ${this.#reserved} set aside for what runs, ${this.paid} paid, and the credit is ${credit}: send a voucher over ${
            needed - credit
          }`,
          { channelId, needed: String(needed - credit) },
        );
      }
    }
    this.#reserved = reserved;
  }

  /** Notes what a task will be charged once its end is stored. */
  expect(task: string, charge: Wei): void {
    this.change({ due: { ...this.#state.due, [task]: charge } });
  }

  /** A task that was noted is not charged, or not any more. Returns whether it was noted. */
  forget(task: string | undefined): boolean {
    if (task === undefined || this.#state.due?.[task] === undefined) return false;
    const { due: { [task]: _, ...others } = {}, ...rest } = this.#state;
    this.#state = Object.keys(others).length === 0 ? rest : { ...rest, due: others };
    return true;
  }

  /** Charges a part of what was set aside, and forgets that a task was noted for it. */
  settle(max: Wei, charge: Wei, { nowMs, task }: { readonly nowMs: number; readonly task?: string | undefined }): Wei {
    this.#reserved -= max;
    this.forget(task);
    const actual = charge < max ? charge : max;
    const state = this.#state;
    state.charged = wei(state.charged + actual);
    state.items++;
    if (state.owedSince === undefined && this.debt > 0n) this.change({ owedSince: nowMs });
    return actual;
  }

  /** Takes a charge back. */
  refund(amount: Wei): void {
    const { charged, items, owedSince: _since, ...rest } = this.#state;
    const owes = charged - amount > this.paid;
    this.#state = {
      ...(owes ? this.#state : rest),
      charged: wei(charged - amount),
      items: items - 1,
    };
  }

  /** Charges a task that was noted by the process before, for which nothing is set aside any more. */
  settleDue(task: string, charge: Wei, nowMs: number): Wei {
    this.#reserved += charge;
    return this.settle(charge, charge, { nowMs, task });
  }

  release(max: Wei): void {
    this.#reserved -= max;
  }

  /**
   * Whether a voucher, whose signature is by `signer`, is worth more than the last. Throws `invalid_argument` for one of another channel or
   * signer, or over the deposit.
   */
  judge(voucher: Voucher, signer: NodeId): boolean {
    const { channelId, chain, paid, closed, closing = false } = this.#state;
    if (voucher.channelId !== channelId) {
      throw new NodeError("invalid_argument", `The voucher is for channel ${voucher.channelId}, not ${channelId}`);
    }
    if (signer !== chain.signer) {
      throw new NodeError(
        "invalid_argument",
        `The voucher is signed by ${signer}, and the channel's signer is ${chain.signer}`,
      );
    }
    if (voucher.cumulative > chain.deposit) {
      throw new NodeError(
        "invalid_argument",
        `The voucher over ${voucher.cumulative} wei is above the channel's deposit of ${chain.deposit}: top it up first`,
      );
    }
    if (closed || closing) {
      throw paymentRequired(`Channel ${channelId} is ${closed ? "closed" : "ending"}: open another one`, {
        channelId,
        state: closed ? "closed" : "exiting",
      });
    }
    return voucher.cumulative > paid;
  }

  /** Has a voucher that {@link judge} found good written with the books from now on; it counts once {@link count} is told so. */
  hold(voucher: Voucher, signature: Uint8Array): void {
    if (voucher.cumulative > (this.#held?.paid ?? this.#state.paid)) {
      this.#held = { paid: voucher.cumulative, signature };
    }
  }

  /** The voucher over this sum is on disk: it counts. */
  count(voucher: Voucher, signature: Uint8Array): void {
    if (voucher.cumulative <= this.#state.paid) return;
    this.change({ paid: voucher.cumulative, signature });
    if (this.debt > 0n) return;
    const { owedSince: _paid, ...rest } = this.#state;
    this.#state = rest;
  }

  /** What is written: {@link EarningState}, with what tasks move last. */
  text(): string {
    const state = this.#state;
    const held = this.#held;
    if (held !== undefined && held.paid > state.paid) return toText({ ...state, ...held });
    if (this.#terms?.of !== state) {
      const { charged: _charged, items: _items, ...terms } = state;
      this.#terms = { of: state, text: toText(terms) };
    }
    return joined(this.#terms.text, toText({ charged: state.charged, items: state.items }));
  }

  change(changes: Partial<EarningState>): void {
    this.#state = { ...this.#state, ...changes };
  }
}

/** Two objects that are not empty, as JSON, in one. */
function joined(first: string, second: string): string {
  return `${first.slice(0, -1)},${second.slice(1)}`;
}

/** A channel as its payee looks at it. */
export function viewOf(state: EarningState): ChannelView {
  return {
    channelId: state.channelId,
    role: "payee",
    peer: state.chain.payer,
    token: state.chain.token,
    deposit: state.chain.deposit,
    charged: state.charged,
    paid: state.paid,
    claimed: state.chain.claimed,
    items: state.items,
    state: state.closed ? "closed" : state.closing === true || state.chain.exitAt > 0 ? "exiting" : "open",
    ...(state.receipt !== undefined && {
      receipt: { receipt: state.receipt.receipt, signature: toHex(state.receipt.signature) },
    }),
    ...(state.signature !== undefined && { voucher: toHex(state.signature) }),
    ...(state.owedSince !== undefined && { owedSince: state.owedSince }),
  };
}
