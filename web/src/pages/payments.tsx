import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { getJson, messageOf, sendJson } from "../api.ts";
import type { Channel, DayTotal, PaymentSummary, Setting } from "../api-types.ts";
import { features } from "../features.ts";
import { epoch } from "../live.ts";
import { isCoin, money } from "../money.ts";
import { Copy } from "../parts/copy.tsx";
import { DayBars } from "../parts/day-bars.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { Empty, Failure, Loaded, Loading } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";
import type { Resource } from "../resource.ts";
import { go, href, route } from "../route.ts";
import { ChannelDetails } from "./channel-details.tsx";
import { ChannelRows } from "./channel-rows.tsx";
import { OpenChannel } from "./money-form.tsx";

/** What the node pays and earns: its account, its channels, and every day's sums. */
export function Payments(): JSX.Element {
  if (features.value.size === 0) return <Loading rows={5} />;
  return features.value.has("payments") ? <Books /> : <Free />;
}

/** A node without a chain is no failure, so the page says how it works and what would change that. */
function Free(): JSX.Element {
  return (
    <Empty icon="payments" title="This node works free of charge">
      <p>It pays nobody, and nobody pays it: tasks and files cost nothing between nodes that let each other in.</p>
      <p class="free-how">
        To trade for money, give it a chain and prices, and start it again: <code>payments.rpcUrls</code>,{" "}
        <code>payments.chainId</code>, <code>payments.channels</code> and <code>prices</code>.
      </p>
      <p>
        <a href={href("settings")}>See what it runs with</a>
      </p>
    </Empty>
  );
}

function Books(): JSX.Element {
  const summary = useResource<PaymentSummary>((abort) => getJson("v1/payments", abort), [epoch.value]);
  const channels = useResource<{ channels: readonly Channel[] }>(
    (abort) => getJson("v1/payments/channels", abort),
    [epoch.value],
  );
  const totals = useResource<{ totals: readonly DayTotal[] }>(
    (abort) => getJson("v1/payments/totals", abort),
    [epoch.value],
  );
  const opening = useSignal(false);
  const reload = () => {
    summary.reload();
    channels.reload();
    totals.reload();
  };
  const id = route.value.query.get("channel") ?? "";
  const shown = channels.value?.channels.find(({ channelId }) => channelId === id);
  const list = channels.value?.channels ?? [];
  return (
    <>
      <Loaded of={summary} rows={2}>{(value) => <Account summary={value} channels={list} onDone={reload} />}</Loaded>
      <Caps totals={totals.value?.totals ?? []} />
      <section aria-labelledby="channels">
        <header class="section-head">
          <h2 id="channels">Channels</h2>
          <div class="buttons">
            <button type="button" class="button small" onClick={reload}>Look again</button>
            <button type="button" class="button small primary" onClick={() => opening.value = true}>
              Open a channel
            </button>
          </div>
        </header>
        <Loaded of={channels} rows={3}>
          {({ channels: all }) =>
            all.length > 0 ? <ChannelRows channels={all} /> : (
              <Empty icon="payments" title="No channels yet">
                <p>
                  One opens by itself with the first paid task when <code>payments.deposit</code>{" "}
                  is set; or open one here to a provider.
                </p>
              </Empty>
            )}
        </Loaded>
      </section>
      <Days totals={totals} />
      {id !== "" && channels.value !== undefined && (
        <ChannelDetails
          key={id}
          id={id}
          channel={shown}
          onClose={() => go(href("payments"))}
          onChange={reload}
        />
      )}
      {opening.value && <OpenChannel onClose={() => opening.value = false} onDone={reload} />}
    </>
  );
}

interface TileProps {
  readonly name: string;
  readonly children: ComponentChildren;
  readonly note: string;
  readonly tone?: string;
}

function Tile({ name, children, note, tone = "" }: TileProps): JSX.Element {
  return (
    <div class={`tile ${tone}`}>
      <dt>{name}</dt>
      <dd>
        <b class="money">{children}</b>
        <span class="small quiet">{note}</span>
      </dd>
    </div>
  );
}

function tokensToo(channels: number): string {
  return channels === 0 ? "" : `; ${channels} in other tokens below`;
}

interface AccountProps {
  readonly summary: PaymentSummary;
  readonly channels: readonly Channel[];
  readonly onDone: () => void;
}

function Account({ summary, channels, onDone }: AccountProps): JSX.Element {
  const { healthy, balance, credit, account, channels: contract, chainId, head } = summary;
  const asking = useSignal<"claim" | "withdraw" | undefined>(undefined);
  // Amounts of other tokens have units of their own and are no part of sums.
  const open = channels.filter(({ state, token }) => state !== "closed" && isCoin(token));
  const others = channels.filter(({ state, token }) => state !== "closed" && !isCoin(token)).length;
  const sum = (list: readonly Channel[], of: (one: Channel) => bigint) => list.reduce((all, one) => all + of(one), 0n);
  const locked = sum(open.filter(({ role }) => role === "payer"), (one) => BigInt(one.deposit) - BigInt(one.claimed));
  const owed = sum(open.filter(({ role }) => role === "payee"), (one) => BigInt(one.paid) - BigInt(one.claimed));
  const act = async (what: string, path: string) => {
    try {
      const { hash } = await sendJson<{ hash?: string }>("POST", path);
      toast("good", hash === undefined ? "There was nothing to do" : `${what}; transaction ${hash.slice(0, 12)}…`);
    } catch (error) {
      toast("bad", messageOf(error));
    }
    onDone();
  };
  return (
    <section aria-label="Account" class="account">
      <dl class="tiles">
        <Tile name="Account" note="coins for deposits and fees">{money(balance)}</Tile>
        <Tile name="In channels" note={`deposits less what was claimed${tokensToo(others)}`}>{money(locked)}</Tile>
        <Tile name="To claim" note={`vouchers of payers, not claimed${tokensToo(others)}`}>{money(owed)}</Tile>
        <Tile name="To withdraw" note="held by the contract">{money(credit)}</Tile>
        <Tile name="Chain" note={`id ${chainId}, block ${head}`} tone={healthy ? "ok" : "bad"}>
          {healthy ? "Believed" : "Not believed"}
        </Tile>
      </dl>
      {!healthy && (
        <div class="banner warning" role="status">
          <span class="dot" aria-hidden="true" />
          <span>
            <b>The chain does not answer, or is behind.</b> No credit is given until it is back; what is paid already is
            {" "}
            served on.
          </span>
        </div>
      )}
      <div class="panel account-foot">
        <dl class="facts">
          <dt>Account</dt>
          <dd>
            <Copy text={account} />
          </dd>
          <dt>Contract</dt>
          <dd>
            <Copy text={contract} />
          </dd>
        </dl>
        <div class="buttons end">
          <button
            type="button"
            class="button"
            disabled={owed === 0n && others === 0}
            onClick={() => asking.value = "claim"}
          >
            Claim all
          </button>
          <button
            type="button"
            class="button"
            disabled={BigInt(credit) === 0n}
            onClick={() => asking.value = "withdraw"}
          >
            Withdraw
          </button>
        </div>
      </div>
      {asking.value === "claim" && (
        <Confirm
          title="Claim what all channels owe?"
          action={others === 0 ? `Claim ${money(owed)}` : "Claim all"}
          keep="Not now"
          tone="primary"
          onClose={() => asking.value = undefined}
          onConfirm={() => void act("Claimed", "v1/payments/claim")}
        >
          <p>One transaction takes the newest voucher of each channel to the contract; this account pays its gas.</p>
        </Confirm>
      )}
      {asking.value === "withdraw" && (
        <Confirm
          title={`Withdraw ${money(credit)}?`}
          action="Withdraw"
          keep="Not now"
          tone="primary"
          onClose={() => asking.value = undefined}
          onConfirm={() => void act("Withdrawn", "v1/payments/withdraw")}
        >
          <p>The contract sends all that it holds for this node to its account, which pays the gas.</p>
        </Confirm>
      )}
    </section>
  );
}

const CAPS: readonly (readonly [string, string])[] = [
  ["payments.capTask", "for a task"],
  ["payments.capPeer", "for a peer a day"],
  ["payments.capDay", "for all a day"],
];

/** How far spending may go, and how far it went today. */
function Caps({ totals }: { readonly totals: readonly DayTotal[] }): JSX.Element {
  const settings = useResource<{ settings: readonly Setting[] }>((abort) => getJson("v1/config", abort), [epoch.value]);
  if (settings.error !== undefined) return <Failure error={settings.error} retry={settings.reload} />;
  const today = new Date().toISOString().slice(0, 10);
  const spent = totals.filter(({ day, direction }) => day === today && direction === "spent");
  const all = spent.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const most = spent.reduce((top, { amount }) => BigInt(amount) > top ? BigInt(amount) : top, 0n);
  const capOf = (key: string) => {
    const value = settings.value?.settings.find((one) => one.key === key)?.value ?? "0";
    return /^\d+$/.test(value) ? BigInt(value) : 0n;
  };
  const used: Readonly<Record<string, bigint>> = { "payments.capPeer": most, "payments.capDay": all };
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
                {of !== undefined && <span class="small quiet">{money(of)} spent today</span>}
                {of !== undefined && cap > 0n && (
                  <progress value={Math.min(1, Number(of * 1000n / cap) / 1000)} max={1} aria-label={`Used ${words}`} />
                )}
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}

const DIRECTIONS = [["spent", "Spent"], ["earned", "Earned"]] as const;

function Days({ totals }: { readonly totals: Resource<{ totals: readonly DayTotal[] }> }): JSX.Element {
  const chosen = useSignal<"spent" | "earned" | undefined>(undefined);
  const list = totals.value?.totals ?? [];
  const direction = chosen.value ??
    (list.some((one) => one.direction === "spent") ? "spent" : list[0]?.direction ?? "spent");
  const shown = list.filter((one) => one.direction === direction);
  return (
    <section aria-labelledby="days">
      <header class="section-head">
        <h2 id="days">By day and peer</h2>
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
            ? <DayBars title={direction === "spent" ? "Spent" : "Earned"} totals={shown} now={Date.now()} />
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
