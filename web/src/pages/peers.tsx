import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { getJson, messageOf, sendJson } from "../api.ts";
import type { Peer, PeerList } from "../api-types.ts";
import { count } from "../format.ts";
import { epoch } from "../live.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { toast } from "../parts/toasts.tsx";
import { useResource } from "../resource.ts";
import { go, href, route } from "../route.ts";
import { PeerDetails } from "./peer-details.tsx";
import { PeerRows } from "./peer-rows.tsx";

const SHOWN = 500;

/** Other nodes that this one knows, how they did, and what they say. */
export function Peers(): JSX.Element {
  const peers = useResource<PeerList>((abort) => getJson(`v1/peers?limit=${SHOWN}`, abort), [epoch.value]);
  const target = route.value.query.get("peer") ?? "";
  const shown = peers.value?.peers.find((peer) => peer.target === target);
  return (
    <>
      <p class="lead">
        Other nodes that this one can give tasks and shards to. Scores are of its own experience; what a peer says of
        itself only decides whether it fits.
      </p>
      <AddPeer onDone={peers.reload} />
      <Loaded of={peers} rows={5}>
        {({ peers: list, total }) =>
          list.length === 0
            ? (
              <Empty icon="peers" title="No peers yet" level={2}>
                <p>
                  Add one above, name some in <code>peers.static</code>, or let the node read a registry with{" "}
                  <code>payments.registry</code>.
                </p>
              </Empty>
            )
            : (
              <section aria-labelledby="known">
                <header class="section-head">
                  <h2 id="known">{summaryOf(list)}</h2>
                  <button type="button" class="button small" onClick={peers.reload}>Look again</button>
                </header>
                <PeerRows peers={list} />
                {total > list.length && (
                  <p class="quiet small">{`The best ${list.length} of ${count(total)} are shown.`}</p>
                )}
              </section>
            )}
      </Loaded>
      {target !== "" && peers.value !== undefined && (
        <PeerDetails
          key={target}
          target={target}
          peer={shown}
          onClose={() => go(href("peers"))}
          onChange={peers.reload}
        />
      )}
    </>
  );
}

function summaryOf(peers: readonly Peer[]): string {
  const reachable = peers.filter(({ reachability, problem }) => reachability === "reachable" && problem === undefined);
  return `${count(reachable.length)} of ${count(peers.length)} can be used`;
}

function AddPeer({ onDone }: { readonly onDone: () => void }): JSX.Element {
  const target = useSignal("");
  const busy = useSignal(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    try {
      const peer = await sendJson<Peer>("POST", "v1/peers", { target: target.value.trim() });
      target.value = "";
      if (peer.reachability === "reachable") toast("good", `Added ${peer.target}`);
      else toast("bad", `Added ${peer.target}, which does not answer now; it is asked again`);
    } catch (error) {
      toast("bad", messageOf(error));
    }
    busy.value = false;
    onDone();
  };
  return (
    <form class="inline-form" onSubmit={(event) => void submit(event)}>
      <label class="grow">
        <span>Add a peer</span>
        <input
          required
          autocomplete="off"
          placeholder="provider.example:8081"
          value={target.value}
          onInput={(event) => target.value = event.currentTarget.value}
        />
      </label>
      <button type="submit" class="button primary" disabled={busy.value}>{busy.value ? "Asking it" : "Add"}</button>
    </form>
  );
}
