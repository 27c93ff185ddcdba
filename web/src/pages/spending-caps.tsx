import type { JSX } from "preact";
import { getJson } from "../api.ts";
import type { DayTotal, Setting } from "../api-types.ts";
import { epoch } from "../live.ts";
import { isCoin, money, sumsOf } from "../money.ts";
import { Failure } from "../parts/states.tsx";
import { useResource } from "../resource.ts";
import { href } from "../route.ts";
import { sumText } from "../tokens.ts";

const CAPS: readonly (readonly [string, string])[] = [
  ["payments.capTask", "for a task"],
  ["payments.capPeer", "for a peer a day"],
  ["payments.capDay", "for all a day"],
];

/** How far spending may go, and how far it went today. */
export function Caps({ totals }: { readonly totals: readonly DayTotal[] }): JSX.Element {
  const settings = useResource<{ settings: readonly Setting[] }>((abort) => getJson("v1/config", abort), [epoch.value]);
  if (settings.error !== undefined) return <Failure error={settings.error} retry={settings.reload} />;
  const today = new Date().toISOString().slice(0, 10);
  const spent = totals.filter(({ day, direction }) => day === today && direction === "spent");
  // The node counts so: a smallest unit of one token as one of any other.
  const unitsOf = (list: readonly DayTotal[]) => list.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const mostAtOne = [...new Set(spent.map(({ peer }) => peer))]
    .map((peer) => spent.filter((one) => one.peer === peer))
    .reduce((most, list) => unitsOf(list) > unitsOf(most) ? list : most, []);
  const capOf = (key: string) => {
    const value = settings.value?.settings.find((one) => one.key === key)?.value ?? "0";
    return /^\d+$/.test(value) ? BigInt(value) : 0n;
  };
  const used: Readonly<Record<string, readonly DayTotal[]>> = {
    "payments.capPeer": mostAtOne,
    "payments.capDay": spent,
  };
  return (
    <section aria-labelledby="caps">
      <header class="section-head">
        <h2 id="caps">Caps</h2>
        <a href={href("settings")}>Settings</a>
      </header>
      <dl class="panel caps">
        {CAPS.map(([key, words]) => {
          const cap = capOf(key);
          const of = used[key];
          return (
            <div key={key}>
              <dt>
                At most {words} <code class="small quiet">{key}</code>
              </dt>
              <dd>
                <b>{cap === 0n ? "no cap" : money(cap)}</b>
                {of !== undefined && (
                  <span class="small quiet">{sumsOf(of).map(sumText).join(", ") || "0"} spent today</span>
                )}
                {of !== undefined && cap > 0n && (
                  <progress
                    value={Math.min(1, Number(unitsOf(of) * 1000n / cap) / 1000)}
                    max={1}
                    aria-label={`Used ${words}`}
                  />
                )}
              </dd>
            </div>
          );
        })}
      </dl>
      {spent.some(({ token }) => !isCoin(token)) && (
        <p class="small quiet note">
          A cap counts the smallest units of every token alike: one wei of the coin as one unit of a token.
        </p>
      )}
    </section>
  );
}
