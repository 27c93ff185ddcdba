import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { getJson, messageOf, sendJson } from "../api.ts";
import type { Channel, CustodyStatement, DayTotal, PaymentSummary, Setting } from "../api-types.ts";
import { features } from "../features.ts";
import { epoch } from "../live.ts";
import { COIN, isCoin, money, nameOf, sumsOf } from "../money.ts";
import type { Sum } from "../money.ts";
import { Sums } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { DayBars } from "../parts/day-bars.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { Empty, Failure, Loaded, Loading } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";
import type { Resource } from "../resource.ts";
import { go, href, route } from "../route.ts";
import { lookAtTokens, tokenOf } from "../tokens.ts";
import { ChannelDetails } from "./channel-details.tsx";
import { ChannelRows } from "./channel-rows.tsx";
import { CustodyRows } from "./custody-rows.tsx";
import { OpenChannel } from "./money-form.tsx";

/** What the node pays and earns: its account, its channels, and every day's sums. */
export function Payments(): JSX.Element {
  if (features.value.size === 0) return <Loading rows={5} />;
  return features.value.has("payments") ? <Books /> : <Free />;
}

/** A node without a chain is no failure, so the page says how it works and what would change that. */
function Free(): JSX.Element {
  return (
    <Empty icon="payments" title="This node works free of charge" level={2}>
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
  const custody = useResource<{ custody: readonly CustodyStatement[] }>(
    (abort) => getJson("v1/payments/custody", abort),
    [epoch.value],
  );
  const opening = useSignal(false);
  const reload = () => {
    summary.reload();
    channels.reload();
    totals.reload();
    custody.reload();
    void lookAtTokens();
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
      <Stakes custody={custody} />
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

/** Stake on shards; nothing where neither this node nor another has put any. */
function Stakes(
  { custody }: { readonly custody: Resource<{ custody: readonly CustodyStatement[] }> },
): JSX.Element | null {
  if (custody.error !== undefined) return <Failure error={custody.error} retry={custody.reload} />;
  const statements = custody.value?.custody ?? [];
  if (statements.length === 0) return null;
  return (
    <section aria-labelledby="stakes">
      <header class="section-head">
        <h2 id="stakes">Stake on shards</h2>
      </header>
      <CustodyRows statements={statements} onDone={custody.reload} />
    </section>
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

interface AccountProps {
  readonly summary: PaymentSummary;
  readonly channels: readonly Channel[];
  readonly onDone: () => void;
}

function Account({ summary, channels, onDone }: AccountProps): JSX.Element {
  const { healthy, balance, credits, account, channels: contract, chainId, head } = summary;
  const asking = useSignal<"claim" | "withdraw" | undefined>(undefined);
  const open = channels.filter(({ state }) => state !== "closed");
  const sums = (role: Channel["role"], of: (one: Channel) => string) =>
    sumsOf(
      open.filter((one) => one.role === role).map((one) => ({
        token: one.token,
        amount: BigInt(of(one)) - BigInt(one.claimed),
      })),
    );
  const locked = sums("payer", ({ deposit }) => deposit);
  const owed = sums("payee", ({ paid }) => paid);
  const held = sumsOf(credits);
  const send = async (what: string, path: string, json?: unknown) => {
    try {
      const { hash } = await sendJson<{ hash?: string }>("POST", path, json);
      toast("good", hash === undefined ? "There was nothing to do" : `${what}; transaction ${hash.slice(0, 12)}…`);
    } catch (error) {
      toast("bad", messageOf(error));
    }
  };
  const claim = async () => {
    await send("Claimed", "v1/payments/claim");
    onDone();
  };
  const withdraw = async () => {
    for (const { token, amount } of held) {
      await send(`Withdrawn ${textOf({ token, amount })}`, "v1/payments/withdraw", { token });
    }
    onDone();
  };
  return (
    <section aria-label="Account" class="account">
      <dl class="tiles">
        <Tile name="Account" note="coins for deposits and fees">{money(balance)}</Tile>
        <Tile name="In channels" note="deposits less what was claimed">
          <Sums of={locked} />
        </Tile>
        <Tile name="To claim" note="vouchers of payers, not claimed">
          <Sums of={owed} />
        </Tile>
        <Tile name="To withdraw" note="held by the contract">
          <Sums of={held} />
        </Tile>
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
            disabled={owed.length === 0}
            onClick={() => asking.value = "claim"}
          >
            Claim all
          </button>
          <button
            type="button"
            class="button"
            disabled={held.length === 0}
            onClick={() => asking.value = "withdraw"}
          >
            Withdraw
          </button>
        </div>
      </div>
      {asking.value === "claim" && (
        <Confirm
          title="Claim what all channels owe?"
          action={owed.length === 1 ? `Claim ${textOf(owed[0]!)}` : "Claim all"}
          keep="Not now"
          tone="primary"
          onClose={() => asking.value = undefined}
          onConfirm={() => void claim()}
        >
          <p>One transaction takes the newest voucher of each channel to the contract; this account pays its gas.</p>
        </Confirm>
      )}
      {asking.value === "withdraw" && (
        <Confirm
          title={held.length === 1 ? `Withdraw ${textOf(held[0]!)}?` : "Withdraw all of these?"}
          action="Withdraw"
          keep="Not now"
          tone="primary"
          onClose={() => asking.value = undefined}
          onConfirm={() => void withdraw()}
        >
          {held.length > 1 && (
            <p class="sums">
              <Sums of={held} />
            </p>
          )}
          <p>
            The contract sends all that it holds for this node to its account, which pays the gas
            {held.length > 1 && ` of ${held.length} transactions, one for each token`}.
          </p>
        </Confirm>
      )}
    </section>
  );
}

function textOf({ token, amount }: Sum): string {
  return money(amount, tokenOf(token));
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
                  <span class="small quiet">{sumsOf(of).map(textOf).join(", ") || "0"} spent today</span>
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

const DIRECTIONS = [["spent", "Spent"], ["earned", "Earned"]] as const;

function Days({ totals }: { readonly totals: Resource<{ totals: readonly DayTotal[] }> }): JSX.Element {
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
