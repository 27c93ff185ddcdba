import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { messageOf, sendJson } from "../api.ts";
import type { Channel, PaymentSummary } from "../api-types.ts";
import { money, sumsOf } from "../money.ts";
import { Sums } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { toast } from "../parts/toasts.tsx";
import { sumText } from "../tokens.ts";

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

/** The node's account and what the contract holds for it, to be claimed and withdrawn. */
export function Account({ summary, channels, onDone }: AccountProps): JSX.Element {
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
      await send(`Withdrawn ${sumText({ token, amount })}`, "v1/payments/withdraw", { token });
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
          action={owed.length === 1 ? `Claim ${sumText(owed[0]!)}` : "Claim all"}
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
          title={held.length === 1 ? `Withdraw ${sumText(held[0]!)}?` : "Withdraw all of these?"}
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
