import type { Labels } from "../core/mod.ts";

/** A tree of maps, one level a label, with cells as leaves. */
type Tree<C> = Map<string | undefined, Tree<C> | C>;

/** The values of one metric: a cell for each combination of label values, found through one map a label. */
export class Cells<C> {
  readonly #labelNames: readonly string[];
  readonly #newCell: () => C;
  readonly #root: Tree<C> = new Map();
  readonly #all: [labels: Labels, cell: C][] = [];

  /** Without labels there is one cell from the start, so that the metric shows before anything happened. */
  constructor(labelNames: readonly string[], newCell: () => C) {
    this.#labelNames = labelNames;
    this.#newCell = newCell;
    if (labelNames.length === 0) this.at({});
  }

  /** Every cell with its labels, in the order in which they came to be. */
  get all(): readonly (readonly [labels: Labels, cell: C])[] {
    return this.#all;
  }

  /** The cell of these label values, made when it is new. Labels that the metric does not have are not looked at. */
  at(labels: Labels): C {
    const names = this.#labelNames;
    const last = names.length - 1;
    let tree = this.#root;
    for (let i = 0; i < last; i++) {
      const value = labels[names[i]!];
      let next = tree.get(value) as Tree<C> | undefined;
      if (next === undefined) tree.set(value, next = new Map());
      tree = next;
    }
    const value = last === -1 ? undefined : labels[names[last]!];
    let cell = tree.get(value) as C | undefined;
    if (cell === undefined) {
      cell = this.#newCell();
      tree.set(value, cell);
      const own = names.filter((name) => labels[name] !== undefined).map((name) => [name, labels[name]!]);
      this.#all.push([Object.fromEntries(own), cell]);
    }
    return cell;
  }
}
