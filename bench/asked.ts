/** What a figure should be: at least, or at most, a bound. */
export type Bound = { readonly atLeast: number } | { readonly atMost: number };

/** Shows a figure beside what is asked of it: `asked ≥ 0.5: 0.89, met`. */
export function asked(bound: Bound, figure: number, digits = 2): string {
  const [sign, value, met] = "atLeast" in bound
    ? ["≥", bound.atLeast, figure >= bound.atLeast] as const
    : ["≤", bound.atMost, figure <= bound.atMost] as const;
  return `asked ${sign} ${value}: ${figure.toFixed(digits)}, ${met ? "met" : "missed"}`;
}
