import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { getJson } from "../api.ts";
import type { Channel, CustodyStatement, DayTotal, PaymentSummary } from "../api-types.ts";
import { features } from "../features.ts";
import { epoch } from "../live.ts";
import { Empty, Failure, Loaded, Loading } from "../parts/states.tsx";
import { useResource } from "../resource.ts";
import type { Resource } from "../resource.ts";
import { go, href, route } from "../route.ts";
import { lookAtTokens } from "../tokens.ts";
import { Account } from "./account.tsx";
import { ChannelDetails } from "./channel-details.tsx";
import { ChannelRows } from "./channel-rows.tsx";
import { CustodyRows } from "./custody-rows.tsx";
import { Days } from "./day-totals.tsx";
import { OpenChannel } from "./money-form.tsx";
import { Caps } from "./spending-caps.tsx";

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
