import type { RequesterId } from "../core/mod.ts";

/** How many requesters are remembered; who is forgotten gets another number, and so new instances. */
const REMEMBERED = 10_000;

/**
 * Gives requesters numbers, which workers tell their instances apart by. A number is never given to a second requester: that is
 * what keeps a plugin from telling one requester what another gave it.
 */
export class RequesterNumbers {
  readonly #numbers = new Map<RequesterId, number>();
  readonly #remembered: number;
  #last = 0;

  constructor(remembered = REMEMBERED) {
    this.#remembered = remembered;
  }

  numberOf(requester: RequesterId): number {
    let number = this.#numbers.get(requester);
    if (number !== undefined) return number;
    if (this.#numbers.size >= this.#remembered) this.#numbers.delete(this.#numbers.keys().next().value!);
    // Two thousand million requesters later numbers would come again; by then no instance of the first ones is warm.
    number = this.#last = (this.#last + 1) & 0x7fff_ffff;
    this.#numbers.set(requester, number);
    return number;
  }
}
