import type { JSX } from "preact";
import type { DayTotal } from "../api-types.ts";
import { exactMoney, money, shortAddress } from "../money.ts";
import type { Token } from "../money.ts";
import { Text } from "./states.tsx";
import { Head } from "./table.tsx";

const DAYS = 30;
const DAY_MS = 86_400_000;
/** Peers with a color of their own; the others share one. */
const COLORS = ["--accent", "--teal", "--violet", "--warn", "--ok"];
const OTHERS = "--edge";

const dayName = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });

export interface DayBarsProps {
  readonly title: string;
  /** All in one token. */
  readonly totals: readonly DayTotal[];
  /** That token; the chain's coin without it. */
  readonly token?: Token | undefined;
  /** The last day shown, in milliseconds since the epoch. */
  readonly now: number;
}

interface Part {
  readonly peer: string;
  readonly color: string;
  readonly amount: bigint;
}

/** Amounts by day (UTC) over a month, a color for each peer; the same as a table for those who do not see it. */
export function DayBars({ title, totals, token, now }: DayBarsProps): JSX.Element {
  const days = Array.from(
    { length: DAYS },
    (_, i) => new Date(now - (DAYS - 1 - i) * DAY_MS).toISOString().slice(0, 10),
  );
  const shown = totals.filter(({ day }) => day >= days[0]!);
  const peers = byPeer(shown);
  const colorOf = (peer: string) => COLORS[peers.findIndex((one) => one.peer === peer)] ?? OTHERS;
  const sums = days.map((day) =>
    shown.filter((total) => total.day === day).reduce((sum, { amount }) => sum + BigInt(amount), 0n)
  );
  const highest = sums.reduce((most, sum) => sum > most ? sum : most, 0n);
  const all = sums.reduce((sum, one) => sum + one, 0n);
  // In thousandths, since bigints have no fractions.
  const share = (amount: bigint) => highest === 0n ? 0 : Number(amount * 1000n / highest) / 10;
  return (
    <figure class="chart day-bars">
      <figcaption>
        <span class="chart-title">{title}</span>
        {peers.slice(0, COLORS.length).map(({ peer, amount }) => (
          <span key={peer} class="key">
            <i style={{ background: `var(${colorOf(peer)})` }} />
            <span title={peer}>{shortAddress(peer)}</span> <b>{money(amount, token)}</b>
          </span>
        ))}
        {peers.length > COLORS.length && (
          <span class="key">
            <i style={{ background: `var(${OTHERS})` }} />
            {peers.length - COLORS.length} others
          </span>
        )}
        <span class="key">
          in {DAYS} days <b>{money(all, token)}</b>
        </span>
      </figcaption>
      <div class="bars" aria-hidden="true">
        <span class="bars-top small quiet">{money(highest, token)}</span>
        {days.map((day, i) => (
          <div key={day} class="bar" title={`${dayName.format(new Date(day))}: ${money(sums[i]!, token)}`}>
            {partsOf(
              shown.filter((total) =>
                total.day === day
              ),
              colorOf,
            ).map(({ peer, color, amount }) => (
              <i
                key={peer}
                style={{ height: `${share(amount)}%`, background: `var(${color})` }}
                title={`${shortAddress(peer)}: ${money(amount, token)}`}
              />
            ))}
          </div>
        ))}
      </div>
      <div class="bars-days small quiet" aria-hidden="true">
        {[days[0]!, days[Math.floor(DAYS / 2)]!, days.at(-1)!].map((day) => (
          <span key={day}>{dayName.format(new Date(day))}</span>
        ))}
      </div>
      <details>
        <summary>As a table</summary>
        <div class="table-scroll">
          <table>
            <Head columns={["Day", "Peer", ["Items", "num"], ["Amount", "num"]]} />
            <tbody>
              {shown.map(({ day, peer, items, amount }) => (
                <tr key={`${day} ${peer}`}>
                  <td>{day}</td>
                  <td class="name" title={peer}>
                    <Text of={peer} />
                  </td>
                  <td class="num">{items}</td>
                  <td class="num" title={exactMoney(amount, token)}>{money(amount, token)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function byPeer(totals: readonly DayTotal[]): { readonly peer: string; readonly amount: bigint }[] {
  const sums = new Map<string, bigint>();
  for (const { peer, amount } of totals) sums.set(peer, (sums.get(peer) ?? 0n) + BigInt(amount));
  return [...sums].map(([peer, amount]) => ({ peer, amount })).sort((a, b) => a.amount < b.amount ? 1 : -1);
}

function partsOf(totals: readonly DayTotal[], colorOf: (peer: string) => string): Part[] {
  return totals.map(({ peer, amount }) => ({ peer, color: colorOf(peer), amount: BigInt(amount) }))
    .sort((a, b) => a.color < b.color ? -1 : 1);
}
