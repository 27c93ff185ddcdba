import type { Command } from "commander";
import { type ClientFlags, clientOf, integerOption, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { formatTable, printable } from "./terminal.ts";
import { isCoin, tokenName } from "./token-names.ts";

interface PeerJson {
  readonly target: string;
  readonly sources: readonly string[];
  readonly nodeId?: string;
  readonly reachability: string;
  readonly blocked: boolean;
  readonly score: number;
  readonly experience: {
    readonly good: number;
    readonly bad: number;
    readonly pace: number;
    readonly lastError?: string;
  };
  readonly latencyMs?: number;
  readonly lastSeenAt?: string;
  readonly lastProbeAt?: string;
  readonly failures: number;
  readonly problem?: string;
  readonly claims?: ClaimsJson;
}

interface ClaimsJson {
  readonly name: string;
  readonly version: string;
  readonly region: string;
  readonly plugins: readonly { readonly name: string; readonly version: string; readonly ready: boolean }[];
  readonly offer?: {
    readonly chainId: number;
    readonly rates: Readonly<Record<string, string>>;
    readonly expiresAt: string;
  };
  readonly offerProblem?: string;
  readonly keepsShards: boolean;
}

interface ListFlags extends ClientFlags {
  readonly limit: number;
  readonly plugin?: string;
}

/** `velas-sphere peers …` */
export function addPeersCommands(program: Command, cli: CliContext): void {
  const peers = program.command("peers").summary("see and manage the nodes that the node knows").description(
    "See other nodes with their scores, which are of the node's own experience, and what they say of themselves; add, remove and probe them.",
  );

  withExamples(
    withClientOptions(peers.command("list").summary("list peers, the best first"))
      .description("List the nodes that the node knows, the most wanted first.")
      .option("--limit <count>", "how many, 1 to 20000", integerOption(1, 20_000), 100)
      .option("--plugin <name>", "only those that say they have this plugin")
      .action((flags: ListFlags) => listPeers(cli, flags)),
    ["velas-sphere peers list", "score, round trip, region, plugins"],
    ["velas-sphere peers list --plugin demo --json", "for programs"],
  );

  withExamples(
    withPeer(peers.command("show").summary("show all that is known of a peer"))
      .description("Show what the node has seen a peer do, and what the peer says of itself.")
      .action(async (target: string, flags: ClientFlags) =>
        show(cli, flags, await clientOf(cli, flags).json<PeerJson>("GET", pathOf(target)))
      ),
    ["velas-sphere peers show 127.0.0.1:8081", "experience, claims, prices"],
  );

  withExamples(
    withPeer(peers.command("add").summary("add a peer"))
      .description("Have the node know another one, or take one back that was removed. It is asked who it is at once.")
      .action(async (target: string, flags: ClientFlags) =>
        show(cli, flags, await clientOf(cli, flags).json<PeerJson>("POST", "/v1/peers", { json: { target } }))
      ),
    ["velas-sphere peers add provider.example:8081", "kept when the node starts again"],
  );

  withExamples(
    withPeer(peers.command("remove").summary("remove a peer"))
      .description("Have the node forget a peer. One that the registry names is blocked.")
      .action(async (target: string, flags: ClientFlags) => {
        await clientOf(cli, flags).json("DELETE", pathOf(target));
        if (flags.json === true) cli.out.line(JSON.stringify({ target }));
        else cli.out.line(`Removed ${printable(target)}`);
      }),
    ["velas-sphere peers remove provider.example:8081", "no task or shard goes there by itself any more"],
  );

  withExamples(
    withPeer(peers.command("probe").summary("ask a peer who it is now"))
      .description("Ask a peer at once who it is, what it offers and how fast it answers.")
      .action(async (target: string, flags: ClientFlags) =>
        show(cli, flags, await clientOf(cli, flags).json<PeerJson>("POST", `${pathOf(target)}/probe`))
      ),
    ["velas-sphere peers probe provider.example:8081", "when it was just started"],
  );
}

function withPeer(command: Command): Command {
  return withClientOptions(command.argument("<target>", "the peer, host:port"));
}

function pathOf(target: string): string {
  return `/v1/peers/${encodeURIComponent(target)}`;
}

async function listPeers(cli: CliContext, flags: ListFlags): Promise<void> {
  const list = await clientOf(cli, flags).json<{ peers: PeerJson[]; total: number }>("GET", "/v1/peers", {
    query: { limit: flags.limit, plugin: flags.plugin },
  });
  if (flags.json === true) return cli.out.line(JSON.stringify(list));
  if (list.peers.length === 0) {
    return cli.err.line("No peers: name some (peers.static, peers add), or a registry (payments.registry).");
  }
  const { bold } = cli.out.colors;
  const head = ["TARGET", "STATE", "SCORE", "TRIP", "REGION", "PRICE", "PLUGINS", "FROM"].map(bold);
  for (const line of formatTable([head, ...list.peers.map(rowOf)])) cli.out.line(line);
  const more = list.total - list.peers.length;
  if (more > 0) cli.err.line(cli.err.colors.dim(`There are ${more} more: add --limit ${list.total}`));
}

function rowOf({ target, blocked, reachability, problem, score, latencyMs, claims, sources }: PeerJson): string[] {
  const state = blocked ? "blocked" : reachability === "reachable" && problem !== undefined ? "unusable" : reachability;
  return [
    printable(target),
    state,
    score.toFixed(2),
    latencyMs === undefined ? "" : `${latencyMs.toFixed(1)} ms`,
    printable(claims?.region ?? ""),
    claims === undefined ? "" : priceOf(claims),
    printable((claims?.plugins ?? []).filter(({ ready }) => ready).map(({ name }) => name).join(",")).slice(0, 60),
    sources.join(","),
  ];
}

/** A price to compare by: that of a second in a plugin, else that of a million instructions. */
function priceOf({ offer, offerProblem }: ClaimsJson): string {
  if (offerProblem !== undefined) return "not believed";
  const { cpuSecond = "0", megaInstructions = "0", minimum = "0" } = offer?.rates ?? {};
  const token = offer?.rates["token"];
  const unit = isCoin(token) ? "" : ` of ${tokenName(token)}`;
  if (cpuSecond !== "0") return `${printable(cpuSecond)}/s${unit}`;
  if (megaInstructions !== "0") return `${printable(megaInstructions)}/M${unit}`;
  return minimum === "0" ? "free" : `${printable(minimum)} each${unit}`;
}

function show(cli: CliContext, flags: ClientFlags, peer: PeerJson): void {
  if (flags.json === true) return cli.out.line(JSON.stringify(peer));
  const { claims, experience, latencyMs } = peer;
  const seen = [
    ["target", peer.target],
    ["node", peer.nodeId],
    ["known from", peer.sources.join(", ")],
    ["state", peer.blocked ? "blocked" : peer.reachability],
    ["problem", peer.problem],
    ["score", peer.score.toFixed(3)],
    ["went well", experience.good.toFixed(1)],
    ["went wrong", experience.bad.toFixed(1)],
    ["last error", experience.lastError],
    ["round trip", latencyMs === undefined ? undefined : `${latencyMs.toFixed(1)} ms`],
    ["last answer", peer.lastSeenAt],
    ["last asked", peer.lastProbeAt],
  ];
  const said = claims === undefined ? [] : [
    ["says: name", claims.name],
    ["says: version", claims.version],
    ["says: region", claims.region],
    ["says: plugins", claims.plugins.map(({ name, version }) => `${name}@${version}`).join(", ")],
    ["says: keeps shards", claims.keepsShards ? "yes" : "no"],
    ...claims.offer === undefined ? [["says: price", claims.offerProblem ?? "free of charge"]] : [
      ["says: chain", String(claims.offer.chainId)],
      ...Object.entries(claims.offer.rates).map(([name, amount]) => [`says: ${name}`, amount]),
      ["says: prices hold until", claims.offer.expiresAt],
    ],
  ];
  const rows = [...seen, ...said].filter((row): row is [string, string] => row[1] !== undefined && row[1] !== "");
  for (const line of formatTable(rows.map(([name, value]) => [name, printable(value)]))) cli.out.line(line);
}
