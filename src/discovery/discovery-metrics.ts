import type { Metrics } from "../core/mod.ts";
import type { Listing } from "./peer-book.ts";

export type ProbeResult = "answered" | "unreachable" | "misbehaved";

const STATES = ["reachable", "unreachable", "unknown", "blocked"] as const;

/** What is measured of peers. No label is a peer: their number is not this node's to decide. */
export class DiscoveryMetrics {
  readonly #peers;
  readonly #probes;
  readonly #seconds;
  readonly #events;
  readonly #choices;
  readonly #block;

  constructor(metrics: Metrics) {
    this.#peers = metrics.gauge("velas_peers", "Peers that the node knows, by state", ["state"]);
    this.#probes = metrics.counter("velas_peer_probes_total", "Times that peers were asked who they are", ["result"]);
    this.#seconds = metrics.histogram("velas_peer_probe_seconds", "How long that took", [0.01, 0.05, 0.2, 1, 5], []);
    this.#events = metrics.counter("velas_registry_events_total", "Events of the registry, by what came of them", [
      "result",
    ]);
    this.#choices = metrics.counter("velas_peer_choices_total", "Tasks that asked for any provider", ["result"]);
    this.#block = metrics.gauge("velas_registry_block", "The block up to which the registry was read");
  }

  probed(result: ProbeResult, ms: number): void {
    this.#probes.add(1, { result });
    this.#seconds.observe(ms / 1000);
  }

  event(result: Listing): void {
    this.#events.add(1, { result });
  }

  readTo(block: number): void {
    this.#block.set(block);
  }

  chose(found: boolean): void {
    this.#choices.add(1, { result: found ? "found" : "none" });
  }

  count(counts: Readonly<Record<typeof STATES[number], number>>): void {
    for (const state of STATES) this.#peers.set(counts[state], { state });
  }
}
