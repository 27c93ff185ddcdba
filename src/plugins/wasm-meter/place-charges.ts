/**
 * Where a function's charges stand. A basic block need not pay its own cost where it begins, as long as every way through the function
 * has paid in the end what its blocks cost together: an arm of an `if` can leave its cost to what follows, and the block before it can pay
 * for it. So each place in the code has a debt, what the ways that lead there have not paid yet (less than nothing where they have paid
 * ahead); all edges that meet there agree on it. It is nothing at the function's entry and its ends, and at calls, where others read the
 * fuel. A block then pays the debt before it plus its cost less the debt behind it. Debts may be chosen so that no block of a
 * spanning tree pays anything, and the tree is made of those blocks that run the most often (D. E. Knuth and F. R. Stevenson,
 * "Optimal measurement points for program frequency counts", BIT 13, 1973).
 */

/** A basic block, as an edge between two places. */
export interface ChargedBlock {
  readonly before: number;
  readonly after: number;
  /** What it costs. Becomes what it pays, which may be less than nothing. */
  value: number;
  /** How often it runs, as a guess. */
  weight: number;
  /** The debt behind it. */
  debt: number;
}

/** The place where nothing is owed. */
export const SETTLED = 0;

/**
 * The places of one function: classes of edges that meet, each with its debt relative to that of another, in a union-find forest that
 * holds differences (B. A. Galler and M. J. Fischer, 1964).
 */
export class ChargePlaces {
  readonly #parents: number[] = [SETTLED];
  /** The debt of each place less that of its parent. */
  readonly #debts: number[] = [0];

  /** A new place, which nothing leads to yet. */
  add(): number {
    this.#debts.push(0);
    return this.#parents.push(this.#parents.length) - 1;
  }

  /** Says that two places are one. */
  join(a: number, b: number): void {
    this.#connect({ before: a, after: b, value: 0 });
  }

  /** Decides what each block pays. */
  settle(blocks: readonly ChargedBlock[]): void {
    for (const block of [...blocks].sort((a, b) => b.weight - a.weight)) this.#connect(block);
    const settled = this.#find(SETTLED);
    const nothing = this.#debts[SETTLED]!;
    const debt = (place: number): number => {
      // Code that nothing leads to has no debt.
      if (this.#find(place) !== settled) return 0;
      return (place === settled ? 0 : this.#debts[place]!) - nothing;
    };
    for (const block of blocks) {
      block.debt = debt(block.after);
      block.value += debt(block.before) - block.debt;
    }
  }

  /** Lets the debt behind a block be that before it and its cost, unless both are bound already. */
  #connect({ before, after, value }: Pick<ChargedBlock, "before" | "after" | "value">): void {
    const from = this.#find(before);
    const to = this.#find(after);
    if (from === to) return;
    const debtBefore = from === before ? 0 : this.#debts[before]!;
    const debtAfter = to === after ? 0 : this.#debts[after]!;
    this.#parents[to] = from;
    this.#debts[to] = debtBefore + value - debtAfter;
  }

  /** The root of a place's tree. Afterwards the place hangs directly below it. */
  #find(place: number): number {
    const parents = this.#parents;
    const debts = this.#debts;
    const path: number[] = [];
    let root = place;
    while (parents[root] !== root) {
      path.push(root);
      root = parents[root]!;
    }
    // From the root down, so that each one's parent already holds its debt relative to the root.
    for (let i = path.length - 2; i >= 0; i--) {
      const at = path[i]!;
      debts[at] = debts[at]! + debts[path[i + 1]!]!;
      parents[at] = root;
    }
    return root;
  }
}
