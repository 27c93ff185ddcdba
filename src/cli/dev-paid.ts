import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { NodeError, VERSION } from "../core/mod.ts";
import { NodeClient } from "./client.ts";
import type { CliContext } from "./context.ts";
import { externalPlugins, GRACE_MS, isFree, type Role, startRole } from "./dev-config.ts";
import type { FileJson } from "./file-view.ts";
import type { Logger } from "./logger.ts";
import { aborted } from "./node-command.ts";
import { type LocalChain, restUrl, type RunningNode, startLocalChain, startNode } from "./start-node.ts";
import { formatTable } from "./terminal.ts";

interface PaidDevFlags {
  readonly dataDir?: string;
  readonly exit?: boolean;
  readonly pluginsExternal?: string;
  readonly logLevel: string;
  readonly json?: boolean;
  /** Whether there may be no chain. */
  readonly orNot: boolean;
}

/** What three providers can keep. */
const POLICY = "2+1";

/** A provider and its prices, in coins. */
interface Seller extends Role {
  readonly region: string;
  readonly prices: Readonly<Record<"gibHour" | "gibWritten" | "gibRead" | "cpuSecond" | "minimum", string>>;
}

const seller = (place: number, factor: number, role: Omit<Role, "name" | "workers">): Seller => ({
  ...role,
  name: `provider-${place}`,
  workers: "1",
  region: ["north", "east", "south"][place - 1]!,
  prices: {
    gibHour: coinsTimes("0.02", factor),
    gibWritten: coinsTimes("0.1", factor),
    gibRead: coinsTimes("0.3", factor),
    cpuSecond: coinsTimes("0.01", factor),
    minimum: coinsTimes("0.001", factor),
  },
});

const SELLERS: readonly Seller[] = [
  seller(1, 1, { restPort: 3000, rpcPorts: [8081, 8083] }),
  seller(2, 2, { restPort: 0, rpcPorts: [0] }),
  seller(3, 3, { restPort: 0, rpcPorts: [0] }),
];
const REQUESTER: Role = { name: "requester", restPort: 3001, rpcPorts: [8091, 8093], workers: "1" };
const CHAIN_PORT = 8545;

const COIN = 10n ** 18n;
/** What every account gets to begin with, and what the requester puts into each of its channels. */
const FUNDS = 100n * COIN;
const DEPOSIT = COIN;

/** Room for a plugin that begins on a busy machine; not more, since what a task may cost is paid ahead. */
const LIMITS = { timeoutMs: 3000, outputBytes: 1024 };

interface Market {
  readonly chain: LocalChain;
  readonly sellers: readonly { readonly seller: Seller; readonly node: RunningNode; readonly client: NodeClient }[];
  readonly requester: RunningNode;
  readonly client: NodeClient;
  readonly startMs: number;
}

interface Channel {
  readonly peer: string;
  readonly deposit: string;
  readonly charged: string;
  readonly paid: string;
}

/** One line of the table of balances, in wei. */
interface Balance {
  readonly name: string;
  readonly before: bigint;
  readonly after: bigint;
  /** Of a deposit, what no voucher has paid away. */
  readonly inChannels: bigint;
  /** By the books: what was charged, and what vouchers pay. The requester's are negative. */
  readonly charged: bigint;
  readonly paid: bigint;
}

interface Done {
  readonly tasks: readonly { readonly provider: string; readonly output: string; readonly charged: bigint }[];
  readonly file: { readonly id: string; readonly bytes: number; readonly shards: number; readonly charged: bigint };
  readonly balances: readonly Balance[];
}

/** `velas-sphere dev --paid`. Gives false, and has done nothing, when there is no chain and may be none. */
export async function runPaidDev(cli: CliContext, flags: PaidDevFlags): Promise<boolean> {
  const startedAt = performance.now();
  if (flags.dataDir !== undefined && existsSync(join(resolve(cli.cwd, flags.dataDir), REQUESTER.name))) {
    throw new NodeError(
      "failed_precondition",
      `${flags.dataDir} holds nodes whose channels are on another chain, which ended with its process: name a new folder (--data-dir), or leave out the money (--free)`,
    );
  }
  const chain = await startChain(cli, flags);
  if (chain === undefined) return false;
  const dataDir = flags.dataDir === undefined
    ? await mkdtemp(join(tmpdir(), "velas-sphere-dev-"))
    : resolve(cli.cwd, flags.dataDir);
  const nodes: RunningNode[] = [];
  let log: Logger | undefined;
  cli.onFault = (error) => {
    log?.error("The nodes stop for a fault that nothing caught", { error });
    log?.flush();
  };
  try {
    const { createLogger } = await import("./logger.ts");
    const start = async (role: Role, more: Readonly<Record<string, string>>): Promise<RunningNode> => {
      const node = await startRole(role, {
        dataDir,
        cli,
        logLevel: flags.logLevel,
        flags: { ...onChain(chain), ...more },
        start: (config) => {
          log ??= createLogger({ ...config.log, env: cli.env });
          return startNode({ config, log: log.child({ node: config.node.name }) });
        },
      });
      nodes.push(node);
      await chain.fund(node.nodeId, FUNDS);
      return node;
    };
    const starts = await Promise.allSettled(
      SELLERS.map(async (seller) => {
        const prices = Object.entries(seller.prices).map(([name, amount]) => [`prices.${name}`, amount]);
        const plugins = seller === SELLERS[0] ? externalPlugins(flags) : {};
        const node = await start(seller, { ...Object.fromEntries(prices), ...plugins });
        return { seller, node, client: clientOf(node) };
      }),
    );
    for (const each of starts) if (each.status === "rejected") throw each.reason;
    const sellers = starts.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
    const requester = await start(REQUESTER, {
      "payments.deposit": String(DEPOSIT),
      "files.policy": POLICY,
      "requester.providers": sellers.map(({ node }) => node.rpcAddresses[0]!).join(","),
    });
    for (const { seller, node, client } of sellers) {
      const json = { target: node.rpcAddresses[0], region: seller.region };
      await client.json("POST", "/v1/payments/register", { json });
    }
    if (cli.interrupted.aborted) return true;
    const startMs = performance.now() - startedAt;
    const market: Market = { chain, sellers, requester, client: clientOf(requester), startMs };
    const done = await trade(market);
    if (flags.json === true) cli.out.line(JSON.stringify(describe(market, done, dataDir), jsonOf));
    else welcome(market, done, cli);
    if (flags.exit === true) return true;
    if (flags.json !== true) nextSteps(market, cli, flags.dataDir === undefined ? undefined : dataDir);
    await aborted(cli.interrupted);
    if (flags.json !== true && cli.out.isTerminal) cli.out.line("\nStopping ...");
    return true;
  } finally {
    await Promise.all(nodes.map((node) => node.close({ graceMs: GRACE_MS })));
    await chain.close();
    log?.flush();
    if (flags.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  }
}

/** The local chain; nothing, and a word about it, when there can be none and need not. */
async function startChain(cli: CliContext, { orNot }: PaidDevFlags): Promise<LocalChain | undefined> {
  try {
    const port = await isFree(CHAIN_PORT) ? CHAIN_PORT : 0;
    try {
      return await startLocalChain({ port });
    } catch (error) {
      if (port === 0 || await isFree(port)) throw error;
      return await startLocalChain({ port: 0 }); // another program was faster
    }
  } catch (error) {
    if (!orNot || !(error instanceof NodeError) || error.code !== "failed_precondition") throw error;
    cli.err.line(`Free of charge, since there is no chain to pay on. ${error.message}\n`);
    return undefined;
  }
}

function onChain(chain: LocalChain): Record<string, string> {
  return {
    "payments.rpcUrls": chain.url,
    "payments.chainId": String(chain.chainId),
    "payments.channels": chain.channels,
    "payments.registry": chain.registry,
    // Blocks come only with transactions here.
    "payments.confirmations": "0",
    "payments.maxHeadAge": "0s",
  };
}

/** Runs a task at each provider, keeps a file at all three, and has them claim what they earned. */
async function trade(market: Market): Promise<Done> {
  const { sellers, requester, client } = market;
  const all = [...sellers.map(({ seller, client }) => ({ name: seller.name, client })), { name: "requester", client }];
  const before = await Promise.all(all.map(({ client }) => balanceOf(client)));

  const tasks = [];
  for (const { seller, node } of sellers) {
    const { output } = await client.json<{ output: string }>("POST", "/v1/tasks/run", {
      json: { plugin: "demo", function: "greet", input: "hello", target: node.rpcAddresses[0], limits: LIMITS },
    });
    const channel = (await channelsOf(client)).find(({ peer }) => peer === node.nodeId);
    tasks.push({ provider: seller.name, output, charged: BigInt(channel?.charged ?? 0) });
  }
  const charged = async () => sum((await channelsOf(client)).map((channel) => BigInt(channel.charged)));
  const forTasks = await charged();
  const file = await keepFile(client);
  const forFile = await charged() - forTasks;

  for (const { client } of sellers) {
    await client.json("POST", "/v1/payments/claim");
    await client.json("POST", "/v1/payments/withdraw");
  }
  const spent = await channelsOf(client);
  const balances = await Promise.all(all.map(async ({ name, client }, place): Promise<Balance> => {
    const node = sellers[place]?.node ?? requester;
    const [own] = node === requester ? [] : await channelsOf(client);
    return {
      name,
      before: before[place]!,
      after: await balanceOf(client),
      inChannels: node === requester ? sum(spent.map(({ deposit, paid }) => BigInt(deposit) - BigInt(paid))) : 0n,
      charged: own === undefined ? -sum(spent.map(({ charged }) => BigInt(charged))) : BigInt(own.charged),
      paid: own === undefined ? -sum(spent.map(({ paid }) => BigInt(paid))) : BigInt(own.paid),
    };
  }));
  return { tasks, file: { ...file, charged: forFile }, balances };
}

async function keepFile(client: NodeClient): Promise<Omit<Done["file"], "charged">> {
  const text = "Kept by three providers for pay, any two of which give it back.\n".repeat(2000);
  const file = await client.json<FileJson>("POST", "/v1/files", {
    query: { name: "hello.txt" },
    body: Buffer.from(text),
  });
  const answer = await client.open("GET", `/v1/files/${file.id}/content`);
  let back = "";
  for await (const piece of answer.body.setEncoding("utf8") as AsyncIterable<string>) back += piece;
  if (back !== text) {
    throw new NodeError(
      "data_corrupt",
      "The file that was read back is not the one that was put: this is a fault of the software",
    );
  }
  return { id: file.id, bytes: file.sizeBytes, shards: file.policy.dataShards + file.policy.parityShards };
}

async function channelsOf(client: NodeClient): Promise<readonly Channel[]> {
  return (await client.json<{ channels: Channel[] }>("GET", "/v1/payments/channels")).channels;
}

async function balanceOf(client: NodeClient): Promise<bigint> {
  return BigInt((await client.json<{ balance: string }>("GET", "/v1/payments")).balance);
}

function clientOf({ restAddress }: RunningNode): NodeClient {
  return new NodeClient({ url: restUrl(restAddress) });
}

function describe({ chain, sellers, requester, startMs }: Market, done: Done, dataDir: string): unknown {
  const about = ({ nodeId, rpcAddresses, restAddress }: RunningNode) => ({
    nodeId,
    rpc: rpcAddresses,
    rest: restUrl(restAddress),
  });
  const { url, chainId, channels, registry } = chain;
  return {
    chain: { url, chainId, channels, registry },
    providers: sellers.map(({ seller, node }) => ({ ...about(node), prices: seller.prices })),
    requester: about(requester),
    dataDir,
    startMs,
    ...done,
  };
}

function welcome({ chain, sellers, requester, startMs }: Market, { tasks, file, balances }: Done, { out }: CliContext) {
  const { bold, dim, green, cyan } = out.colors;
  out.line(
    `${bold("Velas Sphere")} ${VERSION}  ${
      dim(`a chain, three providers and a requester on this machine, up in ${(startMs / 1000).toFixed(1)} s`)
    }\n`,
  );
  const rows = [
    [`  ${bold("chain")}`, dim(chain.channels), `id ${cyan(String(chain.chainId))}`, `rpc ${cyan(chain.url)}`],
    ...[...sellers.map(({ seller, node }) => ({ name: seller.name, node })), { name: "requester", node: requester }]
      .map(
        ({ name, node }) => [
          `  ${bold(name)}`,
          dim(node.nodeId),
          `rpc ${cyan(node.rpcAddresses[0]!)}`,
          `rest ${cyan(restUrl(node.restAddress))}`,
        ],
      ),
  ];
  for (const line of formatTable(rows)) out.line(line);

  out.line(`\n${bold("Prices")} ${dim("in coins, signed by each provider and registered on the chain")}`);
  const prices = sellers.map(({ seller: { name, region, prices } }) => [
    `  ${name}`,
    region,
    ...["cpuSecond", "gibHour", "gibWritten", "gibRead", "minimum"].map((key) =>
      coins(BigInt(prices[key as keyof typeof prices]), 3)
    ),
  ]);
  const heads = ["  ", "region", "CPU second", "GiB hour", "GiB in", "GiB out", "at least"];
  for (const line of formatTable([heads.map(dim), ...prices])) out.line(line);

  out.line();
  for (const { provider, output, charged } of tasks) {
    out.line(
      `${green("✓")} demo greet "hello" → ${bold(`"${output}"`)} at ${provider}  ${dim(`for ${coins(charged)}`)}`,
    );
  }
  out.line(
    `${green("✓")} hello.txt → ${bold(`${file.shards} shards`)}, any two suffice  ${
      dim(`${file.bytes} bytes for 30 days, and read back, for ${coins(file.charged)}`)
    }`,
  );

  out.line(`\n${bold("Balances")} ${dim("in coins, after the providers have claimed and withdrawn")}`);
  const lines = balances.map(({ name, before, after, inChannels, charged, paid }) => [
    `  ${name}`,
    coins(before),
    coins(after),
    coins(inChannels),
    signed(charged),
    signed(paid),
    coins(before + paid - inChannels - after),
  ]);
  const titles = ["  ", "before", "after", "deposited", "charged", "paid", "gas"];
  for (const line of formatTable([titles.map(dim), ...lines])) out.line(line);
  out.line(dim("  What is paid and not charged is paid ahead: the next tasks need no voucher.\n"));
}

function nextSteps({ chain, sellers, requester }: Market, { out, programName }: CliContext, dataDir?: string): void {
  const { bold, dim } = out.colors;
  const [first, second] = sellers;
  const rest = restUrl(requester.restAddress);
  const steps = [
    [
      `curl -d '{"target":"${first!.node.rpcAddresses[0]}","id":"1","input":"hello"}' ${rest}/task`,
      "a task that is paid for",
    ],
    [`curl ${restUrl(second!.node.restAddress)}/.well-known/velas-sphere/offer`, "a provider's signed prices"],
    [`${programName} payments channels --url ${rest}`, "what the requester pays"],
    [`${programName} payments totals --url ${restUrl(first!.node.restAddress)}`, "what a provider earns"],
    [`curl -T README.md ${rest}/v1/files/README.md`, "keep a file of yours for pay"],
    [`curl -r 0-49 ${rest}/v1/files/README.md`, "and read a part of it"],
    [`${rest}/`, "the requester's web page"],
  ];
  out.line(bold("Try next"));
  for (const [line, meaning] of steps) out.line(`  ${line}\n    ${dim(meaning!)}`);
  const data = dataDir === undefined ? "Data is temporary" : `Data is in ${dataDir}`;
  out.line(`\n${dim(`${data}, and the chain at ${chain.url} too. Ctrl-C stops everything.`)}`);
}

/** Wei as coins, with a fixed number of decimals. */
function coins(wei: bigint, decimals = 6): string {
  const sign = wei < 0n ? "-" : "";
  const unit = 10n ** BigInt(18 - decimals);
  const rounded = ((wei < 0n ? -wei : wei) + unit / 2n) / unit;
  const digits = String(rounded).padStart(decimals + 1, "0");
  return `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

function signed(wei: bigint): string {
  return wei > 0n ? `+${coins(wei)}` : coins(wei);
}

function coinsTimes(text: string, factor: number): string {
  const [whole = "0", fraction = ""] = text.split(".");
  return String(BigInt(whole + fraction.padEnd(18, "0")) * BigInt(factor));
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

function jsonOf(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
