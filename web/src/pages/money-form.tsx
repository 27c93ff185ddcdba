import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { sendJson } from "../api.ts";
import type { Channel, ProviderOffer } from "../api-types.ts";
import { COIN, exactMoney, money, nameOf, parseMoney, unitsOf } from "../money.ts";
import type { Token } from "../money.ts";
import { Amount } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Failure, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { learn, tokenOf } from "../tokens.ts";

interface MoneyDialogProps {
  readonly title: string;
  readonly action: string;
  /** What amounts are in; the chain's coin when it is not set. */
  readonly token: Token | undefined;
  readonly children?: ComponentChildren;
  /** What must be asked before an amount can be, since it tells the token. */
  readonly first?: { readonly action: string; readonly ask: () => Promise<void> } | undefined;
  /** Whether there is nothing to pay. */
  readonly isFree?: boolean;
  readonly send: (amount: bigint) => Promise<string>;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** Asks for an amount, says what it is in the smallest unit, and sends it only after that was read. */
function MoneyDialog(props: MoneyDialogProps): JSX.Element {
  const { title, action, token, children, first, isFree = false, send, onClose, onDone } = props;
  const text = useSignal("");
  const unitName = useSignal("");
  const busy = useSignal(false);
  const failure = useSignal<unknown>(undefined);
  // What was typed for one token means something else in another, and where its decimals become known.
  useEffect(() => () => void (text.value = ""), [token?.address, token?.decimals]);
  const units = unitsOf(token);
  const unit = units.find(({ name }) => name === unitName.value) ?? units[0];
  const amount = parseMoney(text.value, unit.digits);
  const wrong = text.value !== "" && (amount === undefined || amount === 0n);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value || isFree) return;
    if (first === undefined && (amount === undefined || amount === 0n)) return;
    busy.value = true;
    failure.value = undefined;
    try {
      if (first !== undefined) await first.ask();
      else {
        toast("good", await send(amount!));
        onDone();
        onClose();
      }
    } catch (error) {
      failure.value = error;
    }
    busy.value = false;
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form class="stack money-form" onSubmit={(event) => void submit(event)}>
        {children}
        {first === undefined && !isFree && (
          <>
            <div class="money-fields">
              <label class="grow">
                <span>{token === undefined ? "Amount" : `Amount of ${nameOf(token)}`}</span>
                <input
                  inputMode="decimal"
                  autocomplete="off"
                  required
                  aria-invalid={wrong}
                  value={text.value}
                  onInput={(event) => text.value = event.currentTarget.value}
                />
              </label>
              <label>
                <span>Unit</span>
                {units.length > 1
                  ? (
                    <select value={unit.name} onChange={(event) => unitName.value = event.currentTarget.value}>
                      {units.map(({ name }) => <option key={name}>{name}</option>)}
                    </select>
                  )
                  : <input value={unit.name} readOnly />}
              </label>
            </div>
            <p class={wrong ? "field-error" : "quiet small"} role="status">
              {wrong
                ? unit.digits === 0
                  ? `Not an amount in ${unit.name}: a whole number above 0.`
                  : `Not an amount in ${unit.name}: a number above 0 with at most ${unit.digits} digits behind the point.`
                : amount === undefined
                ? "It goes from this node's account, which pays the gas too."
                : `${money(amount, token)}: ${exactMoney(amount, token)}, and the gas, go from this node's account.`}
            </p>
          </>
        )}
        {failure.value !== undefined && <Failure error={failure.value} />}
        <div class="buttons end">
          <button type="button" class="button" onClick={onClose}>Not now</button>
          {!isFree && (
            <button type="submit" class="button primary" disabled={busy.value}>
              {busy.value
                ? first === undefined ? "Waiting for the chain" : "Asking"
                : first === undefined
                ? action
                : first.action}
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

export interface TopUpProps {
  readonly channel: Channel;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function TopUp({ channel, onClose, onDone }: TopUpProps): JSX.Element {
  const token = tokenOf(channel.token);
  return (
    <MoneyDialog
      title="Top up the channel"
      action="Top up"
      token={token}
      onClose={onClose}
      onDone={onDone}
      send={async (amount) => {
        await sendJson("POST", `v1/payments/channels/${channel.channelId}/topup`, { amount: String(amount) });
        return `Added ${money(amount, token)}`;
      }}
    >
      <p>
        Adds to the deposit of the channel to <Text of={channel.target ?? channel.peer} />, now{" "}
        {money(channel.deposit, token)}. What is not spent comes back when the channel ends.
      </p>
    </MoneyDialog>
  );
}

/** Asks the provider what it wants before it asks for an amount, which would mean nothing without the token. */
export function OpenChannel({ onClose, onDone }: Omit<TopUpProps, "channel">): JSX.Element {
  const target = useSignal("");
  const answer = useSignal<ProviderOffer | undefined>(undefined);
  const offer = answer.value?.offer;
  const paidIn = offer?.rates["token"] ?? COIN;
  const token = tokenOf(paidIn);
  const ask = async () => {
    const wanted = target.peek().trim();
    const said = await sendJson<ProviderOffer>("POST", "v1/payments/offers", { target: wanted });
    if (said.token !== undefined) learn(said.token);
    // Another one may have been typed meanwhile.
    if (target.peek().trim() === wanted) answer.value = said;
  };
  return (
    <MoneyDialog
      title="Open a channel"
      action="Open"
      token={token}
      first={answer.value === undefined ? { action: "Ask what it wants", ask } : undefined}
      isFree={answer.value !== undefined && offer === undefined}
      onClose={onClose}
      onDone={onDone}
      send={async (amount) => {
        // With the token, so that an amount is never taken for one of another.
        const json = { target: target.peek().trim(), amount: String(amount), token: paidIn };
        await sendJson("POST", "v1/payments/channels", json);
        return `Opened with ${money(amount, token)}`;
      }}
    >
      <p>A deposit on the chain that one provider is paid from. What is not spent comes back when the channel ends.</p>
      <label>
        <span>Provider</span>
        <input
          required
          placeholder="host:8083"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => {
            target.value = event.currentTarget.value;
            answer.value = undefined;
          }}
        />
      </label>
      {answer.value !== undefined && <Wants offer={offer} token={token} />}
    </MoneyDialog>
  );
}

/** What a provider wants to be paid in. Of a token the whole address is there to compare. */
function Wants({ offer, token }: { readonly offer: ProviderOffer["offer"]; readonly token: Token | undefined }) {
  if (offer === undefined) return <p role="status">It works free of charge: no channel is needed.</p>;
  const { minimum = "0" } = offer.rates;
  return (
    <dl class="facts" aria-label="What it wants">
      <dt>Node</dt>
      <dd>
        <Copy text={offer.provider} short />
      </dd>
      <dt>Paid in</dt>
      <dd>
        {token === undefined ? "the chain's coin" : (
          <>
            <b>{token.symbol === undefined ? "a token without a symbol" : <Text of={token.symbol} />}</b>{" "}
            <Copy text={token.address} />
            <span class="small quiet">
              {token.decimals === undefined
                ? "It does not tell its decimals, so that amounts are in its smallest unit. "
                : `${token.decimals} digits behind the point. `}
              Anybody may give a token any symbol: the address tells which one it is.
            </span>
          </>
        )}
      </dd>
      {minimum !== "0" && (
        <>
          <dt>Any task, at least</dt>
          <dd>
            <Amount of={minimum} token={token} />
          </dd>
        </>
      )}
    </dl>
  );
}
