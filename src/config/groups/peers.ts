import * as z from "zod";
import { duration, integer, targets, toggle } from "../setting.ts";

/** Calls to other nodes. */
export const requester = z.strictObject({
  dialTimeoutMs: duration({
    default: "5s",
    min: 10,
    max: 600_000,
    description: "How long connecting to another node may take",
  }),
  idleTimeoutMs: duration({
    default: "2m",
    min: 1000,
    max: 86_400_000,
    description: "A connection to another node is closed when no call used it for this long",
  }),
  maxPeers: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description: "Other nodes that it stays connected to. Beyond it the one that was idle the longest is let go",
  }),
  providers: targets({
    max: 1000,
    default: [],
    description: "Nodes to know, as in peers.static, which is the newer name; both count",
  }),
});

/** Knowing other nodes. */
export const peers = z.strictObject({
  static: targets({
    max: 1000,
    default: [],
    description:
      "Nodes that may run tasks and keep shards for this one, each as host:port, or https://host:port where it speaks TLS",
  }),
  max: integer({
    default: 1000,
    min: 1,
    max: 10_000,
    description:
      "The most nodes that are known from the registry, and the most that are added. Of more the oldest of the worst are let go",
  }),
  probeEveryMs: duration({
    default: "5m",
    min: 1000,
    max: 86_400_000,
    description:
      "How often each is asked who it is and what it offers. One that does not answer is asked ever less often",
  }),
  probeTimeoutMs: duration({ default: "10s", min: 100, max: 120_000, description: "How long that may take" }),
  parallelProbes: integer({ default: 8, min: 1, max: 256, description: "How many are asked at once" }),
  registryEveryMs: duration({
    default: "15s",
    min: 100,
    max: 86_400_000,
    description: "How often the registry (payments.registry) is read for what is new",
  }),
  registryFromBlock: integer({
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "The block in which the registry was deployed: earlier ones are not read",
  }),
  placeShards: toggle({
    default: true,
    description: "Whether shards may be placed at peers that only the registry or peers add named",
  }),
});
