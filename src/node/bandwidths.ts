import { Bandwidth } from "../core/mod.ts";
import type { LiveConfig } from "./live-config.ts";

/** How fast bytes of shards and files come and go. */
export interface Bandwidths {
  readonly in: Bandwidth;
  readonly out: Bandwidth;
}

/** Makes the limits of the configuration, which follow it while the node runs. */
export function makeBandwidths(live: LiveConfig): Bandwidths {
  return {
    in: new Bandwidth({
      limits: () => ({ node: live.config.node.bytesInPerSecond, peer: live.config.node.peerBytesInPerSecond }),
    }),
    out: new Bandwidth({
      limits: () => ({ node: live.config.node.bytesOutPerSecond, peer: live.config.node.peerBytesOutPerSecond }),
    }),
  };
}
