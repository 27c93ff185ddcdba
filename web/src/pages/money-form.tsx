import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { sendJson } from "../api.ts";
import type { Channel } from "../api-types.ts";
import { exactMoney, isCoin, money, parseMoney, UNITS } from "../money.ts";
import type { Unit } from "../money.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Failure, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";

interface MoneyDialogProps {
  readonly title: string;
  readonly action: string;
  /** What amounts are in; the chain's coin when it is not set. */
  readonly token?: string;
  readonly children?: ComponentChildren;
  readonly send: (amount: bigint) => Promise<string>;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

/** Asks for an amount, says what it is in the smallest unit, and sends it only after that was read. */
function MoneyDialog({ title, action, token, children, send, onClose, onDone }: MoneyDialogProps): JSX.Element {
  const text = useSignal("");
  const unit = useSignal<Unit>(isCoin(token) ? "coins" : "wei");
  const busy = useSignal(false);
  const failure = useSignal<unknown>(undefined);
  const amount = parseMoney(text.value, unit.value);
  const wrong = text.value !== "" && (amount === undefined || amount === 0n);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (amount === undefined || amount === 0n || busy.value) return;
    busy.value = true;
    failure.value = undefined;
    try {
      toast("good", await send(amount));
      onDone();
      onClose();
    } catch (error) {
      failure.value = error;
    }
    busy.value = false;
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form class="stack money-form" onSubmit={(event) => void submit(event)}>
        {children}
        <div class="money-fields">
          <label class="grow">
            <span>Amount</span>
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
            {isCoin(token)
              ? (
                <select value={unit.value} onChange={(event) => unit.value = event.currentTarget.value as Unit}>
                  {Object.keys(UNITS).map((name) => <option key={name}>{name}</option>)}
                </select>
              )
              : <input value="smallest unit" readOnly />}
          </label>
        </div>
        <p class={wrong ? "field-error" : "quiet small"} role="status">
          {wrong
            ? !isCoin(token)
              ? "Not an amount in the token's smallest unit: a whole number above 0."
              : `Not an amount in ${unit.value}: a number above 0 with at most ${
                UNITS[unit.value]
              } digits behind the point.`
            : amount === undefined
            ? "It goes from this node's account, which pays the gas too."
            : `${money(amount, token)}: ${exactMoney(amount, token)}, and the gas, go from this node's account.`}
        </p>
        {failure.value !== undefined && <Failure error={failure.value} />}
        <div class="buttons end">
          <button type="button" class="button" onClick={onClose}>Not now</button>
          <button type="submit" class="button primary" disabled={busy.value}>
            {busy.value ? "Waiting for the chain" : action}
          </button>
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
  return (
    <MoneyDialog
      title="Top up the channel"
      action="Top up"
      token={channel.token}
      onClose={onClose}
      onDone={onDone}
      send={async (amount) => {
        await sendJson("POST", `v1/payments/channels/${channel.channelId}/topup`, { amount: String(amount) });
        return `Added ${money(amount, channel.token)}`;
      }}
    >
      <p>
        Adds to the deposit of the channel to <Text of={channel.target ?? channel.peer} />, now{" "}
        {money(channel.deposit, channel.token)}. What is not spent comes back when the channel ends.
      </p>
    </MoneyDialog>
  );
}

export function OpenChannel({ onClose, onDone }: Omit<TopUpProps, "channel">): JSX.Element {
  const target = useSignal("");
  return (
    <MoneyDialog
      title="Open a channel"
      action="Open"
      onClose={onClose}
      onDone={onDone}
      send={async (amount) => {
        await sendJson("POST", "v1/payments/channels", { target: target.peek().trim(), amount: String(amount) });
        return `Opened with ${money(amount)}`;
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
          onInput={(event) => target.value = event.currentTarget.value}
        />
      </label>
    </MoneyDialog>
  );
}
