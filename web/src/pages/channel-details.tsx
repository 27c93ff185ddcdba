import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { sendJson } from "../api.ts";
import type { Channel } from "../api-types.ts";
import { count, counted, fullTime } from "../format.ts";
import { isCoin } from "../money.ts";
import { Amount } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { Empty, Failure, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { ChannelBadge } from "./channel-rows.tsx";
import { TopUp } from "./money-form.tsx";

export interface ChannelDetailsProps {
  readonly id: string;
  /** Missing when the node has no such channel. */
  readonly channel: Channel | undefined;
  readonly onClose: () => void;
  readonly onChange: () => void;
}

type Act = "claim" | "close" | "exit";

/** One channel: how it stands, the latest voucher and receipt, and what its owner can do with it. */
export function ChannelDetails({ id, channel, onClose, onChange }: ChannelDetailsProps): JSX.Element {
  return (
    <Dialog title="Channel" side onClose={onClose}>
      {channel === undefined
        ? (
          <Empty icon="warn" title="No such channel">
            <p>
              This node's books have no channel <Text of={id} />.
            </p>
          </Empty>
        )
        : <Facts channel={channel} onChange={onChange} />}
    </Dialog>
  );
}

function Facts({ channel, onChange }: { readonly channel: Channel; readonly onChange: () => void }): JSX.Element {
  const { channelId, role, peer, target, state, deposit, charged, paid, claimed, items, receipt, voucher, token } =
    channel;
  return (
    <>
      <p class="lead">
        <ChannelBadge state={state} /> {role === "payer" ? "This node pays on it." : "This node is paid on it."}
        {state === "disputed" && " The books of the two sides differ, so nothing more is signed."}
        {state === "exiting" && " Its end was announced; the payee can still claim until the delay is over."}
      </p>
      <dl class="facts">
        <dt>Peer</dt>
        <dd>
          <Copy text={peer} short />
          {target !== undefined && (
            <span class="quiet peer-at">
              at <Text of={target} />
            </span>
          )}
        </dd>
        <dt>Channel</dt>
        <dd>
          <Copy text={channelId} short />
        </dd>
        {!isCoin(token) && (
          <>
            <dt>Token</dt>
            <dd>
              <Copy text={token} />
            </dd>
          </>
        )}
        <Fact name="Deposit" of={deposit} token={token} />
        <Fact name="Charged" of={charged} token={token} note={counted(items, "item")} />
        <Fact name="Paid" of={paid} token={token} note="the sum of the newest voucher" />
        <Fact name="Claimed" of={claimed} token={token} note="on the chain" />
      </dl>
      <Actions channel={channel} onChange={onChange} />
      <section class="paper" aria-label="Newest voucher">
        <h3>Newest voucher</h3>
        {voucher === undefined ? <p class="quiet">None was signed yet.</p> : (
          <dl class="facts">
            <Fact name="Pays" of={paid} token={token} />
            <dt>Signature</dt>
            <dd>
              <Copy text={voucher} short />
            </dd>
          </dl>
        )}
      </section>
      <section class="paper" aria-label="Newest receipt">
        <h3>Newest receipt</h3>
        {receipt === undefined ? <p class="quiet">The payee has signed none yet.</p> : (
          <dl class="facts">
            <dt>Number</dt>
            <dd>{count(receipt.sequence)}</dd>
            <Fact name="Charged" of={receipt.charged} token={token} note={counted(receipt.items, "item")} />
            <Fact name="Paid" of={receipt.paid} token={token} />
            <dt>Signed</dt>
            <dd>{fullTime(receipt.issuedAt)}</dd>
            <dt>Signature</dt>
            <dd>
              <Copy text={receipt.signature} short />
            </dd>
          </dl>
        )}
      </section>
    </>
  );
}

interface FactProps {
  readonly name: string;
  readonly of: string;
  readonly token: string;
  readonly note?: string;
}

function Fact({ name, of, token, note }: FactProps) {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <b>
          <Amount of={of} token={token} />
        </b>
        {note !== undefined && <span class="quiet small">{` · ${note}`}</span>}
      </dd>
    </>
  );
}

const WORDS: Readonly<Record<Act, { title: string; action: string; done: string; text: string }>> = {
  claim: {
    title: "Claim what this channel owes?",
    action: "Claim",
    done: "Claimed",
    text: "The newest voucher goes to the contract. The channel stays open; this account pays the gas.",
  },
  close: {
    title: "Claim and end this channel?",
    action: "End the channel",
    done: "The channel is closed",
    text:
      "The newest voucher is claimed, and the rest of the deposit goes back to the payer at once. The payer needs a new channel for more work.",
  },
  exit: {
    title: "Announce the end of this channel?",
    action: "Announce the end",
    done: "Done",
    text:
      "From now on the provider takes no new work for it. After the delay that the channel was opened with, do the same again and the rest of the deposit comes back.",
  },
};

function Actions({ channel, onChange }: { readonly channel: Channel; readonly onChange: () => void }) {
  const { channelId, role, state, paid, claimed } = channel;
  const asking = useSignal<Act | undefined>(undefined);
  const filling = useSignal(false);
  const busy = useSignal(false);
  const failure = useSignal<unknown>(undefined);
  if (state === "closed") return <p class="quiet">It has ended; nothing can be done with it any more.</p>;
  const owes = BigInt(paid) > BigInt(claimed);
  const act = async (verb: Act) => {
    busy.value = true;
    failure.value = undefined;
    try {
      await sendJson("POST", `v1/payments/channels/${channelId}/${verb}`);
      toast("good", WORDS[verb].done);
      onChange();
    } catch (error) {
      failure.value = error;
    }
    busy.value = false;
  };
  const verb = asking.value;
  const words = verb === undefined ? undefined : WORDS[verb];
  const ends = state === "exiting" && verb === "exit";
  return (
    <>
      {failure.value !== undefined && <Failure error={failure.value} />}
      <div class="buttons">
        {role === "payer"
          ? (
            <>
              <button
                type="button"
                class="button primary"
                disabled={busy.value || state !== "open"}
                onClick={() => filling.value = true}
              >
                Top up
              </button>
              <button type="button" class="button" disabled={busy.value} onClick={() => asking.value = "exit"}>
                {state === "exiting" ? "Take the rest back" : "Exit"}
              </button>
            </>
          )
          : (
            <>
              <button
                type="button"
                class="button primary"
                disabled={busy.value || !owes}
                onClick={() => asking.value = "claim"}
              >
                Claim
              </button>
              <button type="button" class="button" disabled={busy.value} onClick={() => asking.value = "close"}>
                Close
              </button>
            </>
          )}
        {busy.value && <span class="quiet" role="status">waiting for the chain</span>}
      </div>
      {verb !== undefined && words !== undefined && (
        <Confirm
          title={ends ? "Take the rest of the deposit back?" : words.title}
          action={ends ? "Take it back" : words.action}
          {...(verb === "claim" ? { tone: "primary", keep: "Not now" } : {})}
          onClose={() => asking.value = undefined}
          onConfirm={() => void act(verb)}
        >
          <p>{ends ? "This works once the delay is over; the contract refuses it before." : words.text}</p>
        </Confirm>
      )}
      {filling.value && <TopUp channel={channel} onClose={() => filling.value = false} onDone={onChange} />}
    </>
  );
}
