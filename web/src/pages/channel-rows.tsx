import type { JSX } from "preact";
import type { Channel } from "../api-types.ts";
import { count } from "../format.ts";
import { shortAddress } from "../money.ts";
import { Amount } from "../parts/amount.tsx";
import { Text } from "../parts/states.tsx";
import { Table } from "../parts/table.tsx";
import { href } from "../route.ts";

const TONES: Readonly<Record<Channel["state"], string>> = {
  open: "ok",
  exiting: "warn",
  closed: "dim",
  disputed: "bad",
};

export function ChannelBadge({ state }: { readonly state: Channel["state"] }): JSX.Element {
  return <span class={`badge ${TONES[state]}`}>{state}</span>;
}

/** Channels as a table: who pays whom, how much is left, how much moved. */
export function ChannelRows({ channels }: { readonly channels: readonly Channel[] }): JSX.Element {
  return (
    <Table
      columns={["State", "Peer", ["Items", "wide num"], ["Charged", "wide num"], ["Paid", "wide num"], [
        "Deposit left",
        "num",
      ]]}
    >
      {channels.map((one) => <ChannelRow key={one.channelId} channel={one} />)}
    </Table>
  );
}

function ChannelRow({ channel }: { readonly channel: Channel }): JSX.Element {
  const { channelId, role, peer, target, state, items, charged, paid, deposit, token } = channel;
  const total = BigInt(deposit);
  const left = total > BigInt(paid) ? total - BigInt(paid) : 0n;
  return (
    <tr class="link-row">
      <td>
        <ChannelBadge state={state} />
      </td>
      <td class="name main">
        <a href={href("payments", "", { channel: channelId })} title={peer}>
          {role === "payer" ? "to " : "from "}
          <Text of={target ?? shortAddress(peer)} />
        </a>
      </td>
      <td class="wide num">{count(items)}</td>
      <td class="wide num">
        <Amount of={charged} token={token} />
      </td>
      <td class="wide num">
        <Amount of={paid} token={token} />
      </td>
      <td class="num">
        <Amount of={left} token={token} />
        {state !== "closed" && total > 0n && (
          <progress class="left" value={Number(left * 1000n / total) / 1000} max={1} aria-label="Left of the deposit" />
        )}
      </td>
    </tr>
  );
}
