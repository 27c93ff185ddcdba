import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { messageOf, sendJson } from "../api.ts";
import type { Peer, PeerClaims } from "../api-types.ts";
import { ago, duration, few, fullTime } from "../format.ts";
import { isCoin } from "../money.ts";
import { Amount } from "../parts/amount.tsx";
import { Copy } from "../parts/copy.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { Empty, Text } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { chainId, lookUp, tokenOfOffer } from "../tokens.ts";
import { PeerBadge } from "./peer-rows.tsx";

export interface PeerDetailsProps {
  readonly target: string;
  /** Missing when the node knows no such peer. */
  readonly peer: Peer | undefined;
  readonly onClose: () => void;
  readonly onChange: () => void;
}

const SOURCES = { static: "the configuration", added: "you", registry: "the registry" };
const RATES: Readonly<Record<string, string>> = {
  minimum: "Any task, at least",
  cpuSecond: "A second in a plugin",
  megaInstructions: "A million instructions",
  gpuSecond: "A second of GPU",
  gibHour: "A GiB for an hour",
  gibWritten: "A GiB in",
  gibRead: "A GiB out",
};

/** One peer: what this node saw it do, and apart from that what it says of itself. */
export function PeerDetails({ target, peer, onClose, onChange }: PeerDetailsProps): JSX.Element {
  return (
    <Dialog title="Peer" side onClose={onClose}>
      {peer === undefined
        ? (
          <Empty icon="warn" title="No such peer">
            <p>
              This node knows no <Text of={target} />.
            </p>
          </Empty>
        )
        : <Facts peer={peer} onChange={onChange} onClose={onClose} />}
    </Dialog>
  );
}

function Facts({ peer, onChange, onClose }: Omit<PeerDetailsProps, "target" | "peer"> & { readonly peer: Peer }) {
  const { target, nodeId, sources, problem, score, experience, latencyMs, lastSeenAt, claims } = peer;
  return (
    <>
      <p class="lead">
        <PeerBadge peer={peer} /> <Text of={target} />, known from{" "}
        {sources.map((source) => SOURCES[source]).join(" and ")}.
      </p>
      {problem !== undefined && (
        <p class="field-error">
          <Text of={problem} />
        </p>
      )}
      <dl class="facts">
        <dt>Node</dt>
        <dd>{nodeId === undefined ? <span class="quiet">never answered</span> : <Copy text={nodeId} short />}</dd>
        <dt>Score</dt>
        <dd>
          <b>{score.toFixed(2)}</b>{" "}
          <span class="quiet small">
            {few(experience.good)} went well, {few(experience.bad)} did not; counts half after a week
          </span>
        </dd>
        {experience.lastError !== undefined && (
          <>
            <dt>Last failure</dt>
            <dd>
              <Text of={experience.lastError} />
            </dd>
          </>
        )}
        <dt>Round trip</dt>
        <dd>{latencyMs === undefined ? <span class="quiet">not measured</span> : duration(latencyMs)}</dd>
        <dt>Answered</dt>
        <dd title={lastSeenAt === undefined ? undefined : fullTime(lastSeenAt)}>
          {lastSeenAt === undefined ? <span class="quiet">never</span> : ago(lastSeenAt)}
        </dd>
      </dl>
      <Actions peer={peer} onChange={onChange} onClose={onClose} />
      {claims !== undefined && <Claims claims={claims} />}
    </>
  );
}

/** What the peer says, which is believed of nobody. */
function Claims({ claims }: { readonly claims: PeerClaims }): JSX.Element {
  const { name, version, region, plugins, offer, offerProblem, keepsShards } = claims;
  const token = offer?.rates["token"];
  // Symbols are read on the node's chain only.
  const isHere = offer !== undefined && offer.chainId === chainId.value;
  useEffect(() => {
    if (isHere && token !== undefined) void lookUp(token);
  }, [isHere, token]);
  const rates = Object.entries(RATES).filter(([rate]) => (offer?.rates[rate] ?? "0") !== "0");
  return (
    <section class="paper" aria-label="What it says of itself">
      <h3>What it says of itself</h3>
      <p class="quiet small">None of this counts towards its score.</p>
      <dl class="facts">
        <dt>Name</dt>
        <dd>
          <Text of={name} /> <span class="quiet">{version}</span>
        </dd>
        <dt>Region</dt>
        <dd>{region === "" ? <span class="quiet">not said</span> : <Text of={region} />}</dd>
        <dt>Plugins</dt>
        <dd>
          <Text of={plugins.map((one) => `${one.name}@${one.version}`).join(", ")} />
        </dd>
        <dt>Keeps shards</dt>
        <dd>{keepsShards ? "yes" : "no"}</dd>
        {offerProblem !== undefined
          ? (
            <>
              <dt>Prices</dt>
              <dd>
                <Text of={offerProblem} />
              </dd>
            </>
          )
          : rates.length === 0
          ? (
            <>
              <dt>Prices</dt>
              <dd>free of charge</dd>
            </>
          )
          : rates.map(([rate, label]) => (
            <div key={rate}>
              <dt>{label}</dt>
              <dd>
                <Amount of={offer!.rates[rate]!} token={tokenOfOffer(offer)} />
              </dd>
            </div>
          ))}
        {rates.length > 0 && token !== undefined && !isCoin(token) && (
          <>
            <dt>Token</dt>
            <dd>
              <Copy text={token} />
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

function Actions({ peer, onChange, onClose }: Omit<PeerDetailsProps, "target" | "peer"> & { readonly peer: Peer }) {
  const { target, blocked, sources } = peer;
  const busy = useSignal(false);
  const asks = useSignal(false);
  const path = `v1/peers/${encodeURIComponent(target)}`;
  const attempt = async (action: () => Promise<unknown>, done: string) => {
    busy.value = true;
    try {
      await action();
      toast("good", done);
    } catch (error) {
      toast("bad", messageOf(error));
    }
    busy.value = false;
    onChange();
  };
  const listed = sources.includes("registry");
  return (
    <div class="buttons">
      <button
        type="button"
        class="button"
        disabled={busy.value}
        onClick={() => void attempt(() => sendJson("POST", `${path}/probe`), `Asked ${target}`)}
      >
        Ask it now
      </button>
      {blocked
        ? (
          <button
            type="button"
            class="button"
            disabled={busy.value}
            onClick={() => void attempt(() => sendJson("POST", "v1/peers", { target }), `${target} is used again`)}
          >
            Take it back
          </button>
        )
        : (
          <button
            type="button"
            class="button danger"
            disabled={busy.value || sources.includes("static")}
            title={sources.includes("static") ? "The configuration names it" : undefined}
            onClick={() => asks.value = true}
          >
            {listed ? "Block" : "Remove"}
          </button>
        )}
      {asks.value && (
        <Confirm
          title={
            <>
              {listed ? "Block" : "Remove"} <Text of={target} />?
            </>
          }
          action={listed ? "Block" : "Remove"}
          onConfirm={async () => {
            await attempt(() => sendJson("DELETE", path), `${listed ? "Blocked" : "Removed"} ${target}`);
            if (!listed) onClose();
          }}
          onClose={() => asks.value = false}
        >
          <p>No task or shard goes there by itself any more. What it keeps for this node stays where it is.</p>
        </Confirm>
      )}
    </div>
  );
}
