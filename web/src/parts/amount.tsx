import type { JSX } from "preact";
import { exactMoney, figure } from "../money.ts";
import type { Sum, Token } from "../money.ts";
import { tokenOf } from "../tokens.ts";

export interface AmountProps {
  readonly of: string | bigint;
  /** The token that it is in, or its address on the node's chain; the chain's coin without it. */
  readonly token?: Token | string | undefined;
}

/** An amount, exact under the pointer. Of a token the address stands beside the symbol, which anybody may choose. */
export function Amount({ of, token }: AmountProps): JSX.Element {
  const info = typeof token === "object" ? token : tokenOf(token);
  const { text, address } = figure(of, info);
  return (
    <span class="amount" title={exactMoney(of, info)}>
      <span>{text}</span>
      {address !== undefined && <code class="small quiet">{address}</code>}
    </span>
  );
}

/** Amounts below each other, each in a token of its own; `0` when there are none. */
export function Sums({ of }: { readonly of: readonly Sum[] }): JSX.Element {
  if (of.length === 0) return <Amount of={0n} />;
  return <>{of.map(({ token, amount }) => <Amount key={token} of={amount} token={token} />)}</>;
}
