import type { Command } from "commander";
import type { ShardRecord } from "../core/mod.ts";
import { type ClientFlags, clientOf, integerOption, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { showBytes } from "./progress.ts";
import { formatTable, printable } from "./terminal.ts";

interface UsageJson {
  readonly shards: number;
  readonly bytes: number;
  readonly uploadBytes: number;
  readonly quotaBytes: number;
  readonly freeBytes: number;
}

interface PageJson {
  readonly shards: readonly (Omit<ShardRecord, "storedAt" | "expiresAt"> & {
    readonly storedAt: string;
    readonly expiresAt: string;
  })[];
  readonly nextPageToken: string;
}

interface ListFlags extends ClientFlags {
  readonly limit: number;
  readonly pageToken?: string;
  readonly all?: boolean;
}

/** `velas-sphere shards …` */
export function addShardsCommands(program: Command, cli: CliContext): void {
  const shards = program.command("shards").summary("see what a node keeps for others").description(
    "See the shards that a node keeps for other nodes: for its operator.",
  );
  withExamples(
    withClientOptions(shards.command("usage").summary("show counts and quota"))
      .description("Show how many shards the node keeps, their bytes, and what its quota leaves.")
      .action(async (flags: ClientFlags) => {
        const usage = await clientOf(cli, flags).json<UsageJson>("GET", "/v1/shards/usage");
        if (flags.json === true) return cli.out.line(JSON.stringify(usage));
        const { dim } = cli.out.colors;
        const rows = [
          ["shards", String(usage.shards)],
          ["bytes", showBytes(usage.bytes)],
          ["uploads", showBytes(usage.uploadBytes)],
          ["quota", showBytes(usage.quotaBytes)],
          ["free", showBytes(usage.freeBytes)],
        ] as const;
        for (const line of formatTable(rows.map(([name, value]) => [dim(name), value]))) cli.out.line(line);
      }),
    ["velas-sphere shards usage", "of the node at the default address"],
  );
  withExamples(
    withClientOptions(shards.command("list").summary("list shards"))
      .description("List the shards that the node keeps, by owner.")
      .option("--limit <count>", "shards a page, 1 to 1000", integerOption(1, 1000), 100)
      .option("--page-token <token>", "go on where the last page ended")
      .option("--all", "all pages")
      .action((flags: ListFlags) => listShards(cli, flags)),
    ["velas-sphere shards list", "the first hundred"],
    ["velas-sphere shards list --all --json", "all of them, for programs"],
  );
}

async function listShards(cli: CliContext, flags: ListFlags): Promise<void> {
  const client = clientOf(cli, flags);
  const shown: PageJson["shards"][number][] = [];
  let pageToken = flags.pageToken ?? "";
  let first = true;
  do {
    const pageSize = flags.all === true ? 1000 : flags.limit;
    const page: PageJson = await client.json("GET", "/v1/shards", { query: { pageSize, pageToken } });
    pageToken = page.nextPageToken;
    if (flags.json === true) {
      shown.push(...page.shards);
      continue;
    }
    const { bold } = cli.out.colors;
    const rows = page.shards.map(({ id, owner, sizeBytes, expiresAt }) => [
      printable(id),
      printable(owner),
      showBytes(sizeBytes),
      expiresAt.replace(/\.\d+Z$/, "Z"),
    ]);
    const head = first ? [["ID", "OWNER", "SIZE", "LEASE UNTIL"].map(bold)] : [];
    if (rows.length > 0) { for (const line of formatTable([...head, ...rows])) cli.out.line(line); }
    if (rows.length > 0) first = false;
  } while (flags.all === true && pageToken !== "");

  if (flags.json === true) return cli.out.line(JSON.stringify({ shards: shown, nextPageToken: pageToken }));
  if (first) return cli.err.line("No shards.");
  if (pageToken !== "") cli.err.line(cli.err.colors.dim(`There are more: add --page-token ${pageToken}, or --all`));
}
