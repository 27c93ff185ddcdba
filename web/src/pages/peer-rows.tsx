import type { JSX } from "preact";
import type { Peer, PeerClaims } from "../api-types.ts";
import { duration } from "../format.ts";
import { money } from "../money.ts";
import { Text } from "../parts/states.tsx";
import { Table } from "../parts/table.tsx";
import { href } from "../route.ts";
import { tokenOfOffer } from "../tokens.ts";

export function PeerBadge({ peer: { blocked, reachability, problem } }: { readonly peer: Peer }): JSX.Element {
  if (blocked) return <span class="badge bad">blocked</span>;
  if (reachability === "unknown") return <span class="badge dim">not asked yet</span>;
  if (reachability === "unreachable") return <span class="badge bad">out of reach</span>;
  return problem === undefined ? <span class="badge ok">reachable</span> : <span class="badge warn">not used</span>;
}

/** A price to compare by: that of a second in a plugin, else that of a million instructions, else that of any task. */
export function priceOf({ offer, offerProblem }: PeerClaims): string {
  if (offerProblem !== undefined) return "not believed";
  const { cpuSecond = "0", megaInstructions = "0", minimum = "0" } = offer?.rates ?? {};
  const token = tokenOfOffer(offer);
  if (cpuSecond !== "0") return `${money(cpuSecond, token)} / s`;
  if (megaInstructions !== "0") return `${money(megaInstructions, token)} / M`;
  return minimum === "0" ? "free" : `${money(minimum, token)} each`;
}

/** Peers as a table: how good they were, how near, and what they say they have. */
export function PeerRows({ peers }: { readonly peers: readonly Peer[] }): JSX.Element {
  return (
    <Table
      columns={["State", "Peer", ["Score", "num"], ["Round trip", "wide num"], ["Price", "wide num"], [
        "Says it has",
        "wider",
      ]]}
    >
      {peers.map((peer) => <PeerRow key={peer.target} peer={peer} />)}
    </Table>
  );
}

function PeerRow({ peer }: { readonly peer: Peer }): JSX.Element {
  const { target, score, latencyMs, claims } = peer;
  const plugins = claims?.plugins.filter(({ ready }) => ready).map(({ name }) => name) ?? [];
  return (
    <tr class="link-row">
      <td>
        <PeerBadge peer={peer} />
      </td>
      <td class="name main">
        <a href={href("peers", "", { peer: target })}>
          <Text of={target} />
        </a>
        {claims !== undefined && claims.region !== "" && (
          <span class="small quiet peer-at">
            <Text of={claims.region} />
          </span>
        )}
      </td>
      <td class="num">
        {score.toFixed(2)}
        <progress class="left" value={score} max={1} aria-label={`Score ${score.toFixed(2)} of 1`} />
      </td>
      <td class="wide num">{latencyMs === undefined ? "" : duration(latencyMs)}</td>
      <td class="wide num">{claims === undefined ? "" : priceOf(claims)}</td>
      <td class="wider">
        <Text of={plugins.slice(0, 4).join(", ")} />
        {plugins.length > 4 && <span class="quiet">{` and ${plugins.length - 4} more`}</span>}
      </td>
    </tr>
  );
}
