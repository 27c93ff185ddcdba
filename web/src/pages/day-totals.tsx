import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import type { DayTotal } from "../api-types.ts";
import { COIN, isCoin, nameOf } from "../money.ts";
import { DayBars } from "../parts/day-bars.tsx";
import { Icon } from "../parts/icons.tsx";
import { Empty, Loaded } from "../parts/states.tsx";
import type { Resource } from "../resource.ts";
import { tokenOf } from "../tokens.ts";

const DIRECTIONS = [["spent", "Spent"], ["earned", "Earned"]] as const;

/** What was spent and earned each day, one token at a time. */
export function Days({ totals }: { readonly totals: Resource<{ totals: readonly DayTotal[] }> }): JSX.Element {
  const chosen = useSignal<"spent" | "earned" | undefined>(undefined);
  const chosenToken = useSignal<string | undefined>(undefined);
  const list = totals.value?.totals ?? [];
  const direction = chosen.value ??
    (list.some((one) => one.direction === "spent") ? "spent" : list[0]?.direction ?? "spent");
  const ofDirection = list.filter((one) => one.direction === direction);
  const tokens = [...new Set(ofDirection.map(({ token }) => token))]
    .sort((a, b) => Number(isCoin(b)) - Number(isCoin(a)));
  const token = tokens.find((one) => one === chosenToken.value) ?? tokens[0] ?? COIN;
  const shown = ofDirection.filter((one) => one.token === token);
  return (
    <section aria-labelledby="days">
      <header class="section-head">
        <h2 id="days">By day and peer</h2>
        {tokens.length > 1 && (
          <label class="of-token">
            <span class="small quiet">in</span>
            <select
              aria-label="Token"
              value={token}
              onChange={(event) => chosenToken.value = event.currentTarget.value}
            >
              {tokens.map((one) => <option key={one} value={one}>{nameOf(tokenOf(one))}</option>)}
            </select>
          </label>
        )}
        <div class="segments" role="group" aria-label="Direction">
          {DIRECTIONS.map(([value, label]) => (
            <button
              key={value}
              type="button"
              aria-pressed={direction === value}
              onClick={() => chosen.value = value}
            >
              {label}
            </button>
          ))}
        </div>
      </header>
      <Loaded of={totals} rows={4}>
        {() =>
          shown.length > 0
            ? (
              <DayBars
                title={direction === "spent" ? "Spent" : "Earned"}
                totals={shown}
                token={tokenOf(token)}
                now={Date.now()}
              />
            )
            : (
              <Empty icon="overview" title={direction === "spent" ? "Nothing spent yet" : "Nothing earned yet"}>
                <p>Sums appear here with the first paid task.</p>
              </Empty>
            )}
      </Loaded>
      <p class="small quiet note">
        <Icon name="check" /> Days are those of UTC. Every sum is from this node's own books.
      </p>
    </section>
  );
}
