import type { Command } from "commander";
import { NodeError } from "../core/mod.ts";
import { type ClientFlags, clientOf, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { formatTable, printable } from "./terminal.ts";
import { isCoin, type TokenJson, tokenName } from "./token-names.ts";

type Row = Readonly<Record<string, unknown>>;

/** What an amount is in: columns of their own for programs, one for people. */
const TOKEN = ["token", "symbol", "decimals"] as const;

interface ListFlags extends ClientFlags {
  readonly csv?: boolean;
}

interface QuoteJson extends Row {
  readonly quote: { readonly rates: Row; readonly expiresAt: number } & Row;
}

/** A quote on one line: the prices of what is kept. */
function quoteRow({ quote: { rates, expiresAt, provider, channelId }, digest, keepUntil }: QuoteJson): Row {
  const { token, gibHour, minimum } = rates;
  return {
    digest,
    provider,
    channelId,
    gibHour,
    minimum,
    expiresAt: new Date(expiresAt).toISOString(),
    keepUntil,
    token,
  };
}

/** `velas-sphere payments …` */
export function addPaymentsCommands(program: Command, cli: CliContext): void {
  const payments = program.command("payments").summary("see and manage the node's money").description(
    "See what the node pays and is paid, and open, fill, claim and end its payment channels. Amounts are in the token's " +
      'smallest unit (wei); "payments tokens" tells how many digits of that are behind the point.',
  );

  withExamples(
    withClientOptions(payments.command("show").summary("show the chain and the balances"))
      .description("Show the chain that the node uses, its account, and what it has there.")
      .action(async (flags: ClientFlags) => {
        const summary = await clientOf(cli, flags).json<Row>("GET", "/v1/payments");
        if (flags.json === true) cli.out.line(JSON.stringify(summary));
        else await showSummary(cli, flags, summary);
      }),
    ["velas-sphere payments show", "balance, credit, head"],
  );

  for (
    const [name, summary, columns, read] of [
      [
        "channels",
        "list payment channels",
        ["channelId", "role", "state", "peer", "deposit", "charged", "paid", "claimed", "items", ...TOKEN],
        async (flags: ClientFlags) => await channels(cli, flags),
      ],
      [
        "vouchers",
        "list the newest voucher of each channel",
        ["channelId", "role", "peer", "paid", "voucher", ...TOKEN],
        async (flags: ClientFlags) => (await channels(cli, flags)).filter((row) => row["voucher"] !== undefined),
      ],
      [
        "receipts",
        "list the newest receipt of each channel, as its provider signed it",
        ["channelId", "sequence", "charged", "paid", "items", "issuedAt", "signature", ...TOKEN],
        async (flags: ClientFlags) =>
          (await channels(cli, flags)).flatMap(({ receipt, token }) =>
            receipt === undefined ? [] : [{ ...receipt as Row, token }]
          ),
      ],
      [
        "quotes",
        "list the quotes that providers keep this node's shards by",
        ["digest", "provider", "channelId", "gibHour", "minimum", "expiresAt", "keepUntil", ...TOKEN],
        async (flags: ClientFlags) =>
          (await clientOf(cli, flags).json<{ quotes: QuoteJson[] }>("GET", "/v1/payments/quotes")).quotes.map(quoteRow),
      ],
      [
        "totals",
        "list what was spent and earned by day, peer and token",
        ["day", "direction", "peer", "amount", "items", ...TOKEN],
        async (flags: ClientFlags) =>
          (await clientOf(cli, flags).json<{ totals: Row[] }>("GET", "/v1/payments/totals")).totals,
      ],
      [
        "tokens",
        "list the ERC-20 tokens that the node deals in, as they call themselves",
        ["token", "symbol", "decimals"],
        async (flags: ClientFlags) =>
          (await tokens(cli, flags)).map(({ address, symbol, decimals }) => ({ token: address, symbol, decimals })),
      ],
    ] as const
  ) {
    withExamples(
      withClientOptions(payments.command(name).summary(summary))
        .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
        .option("--csv", "comma-separated values, with a line of names")
        .action(async (flags: ListFlags) => list(cli, flags, { columns, rows: await read(flags) })),
      [`velas-sphere payments ${name}`, "as a table"],
      [`velas-sphere payments ${name} --csv`, "for a spreadsheet"],
    );
  }

  withExamples(
    withClientOptions(
      payments.command("open").summary("open a channel to a provider")
        .argument("<target>", "the provider, host:port").argument("<amount>", "the deposit, in wei"),
    )
      .description(
        "Open a channel with a deposit, in the coin or token that the provider wants. What is not spent comes back when it ends.",
      )
      .option("--token <address>", "refuse when the provider wants another one than this ERC-20")
      .action(async (target: string, amount: string, flags: ClientFlags & { token?: string }) => {
        const { token } = flags;
        const json = { target, amount: amountOf(amount), ...(token !== undefined && { token }) };
        const channel = await clientOf(cli, flags).json<Row>("POST", "/v1/payments/channels", { json });
        if (flags.json === true) return cli.out.line(JSON.stringify(channel));
        const paidIn = channel["token"] as string | undefined;
        const named = isCoin(paidIn) ? "" : ` with ${amount} of ${await nameOf(cli, flags, paidIn)}`;
        cli.out.line(`Opened ${textOf(channel["channelId"])}${named}`);
      }),
    ["velas-sphere payments open provider.example:8081 1000000000000000", "a thousandth of a coin"],
  );

  withExamples(
    withClientOptions(
      payments.command("topup").summary("add to a channel's deposit")
        .argument("<channel>", "the channel's id").argument("<amount>", "how much more, in wei"),
    )
      .description("Add to a channel's deposit.")
      .action((channel: string, amount: string, flags: ClientFlags) =>
        send(cli, flags, { path: `/channels/${idOf(channel)}/topup`, json: { amount: amountOf(amount) } })
      ),
    ["velas-sphere payments topup 0x7099… 1000000000000000", "more of the same"],
  );

  withExamples(
    withClientOptions(
      payments.command("claim").summary("claim what is owed").argument("[channel]", "one channel; all without it"),
    )
      .description(
        "Claim with the newest vouchers what channels owe this node. The node does so by itself when it is worth the gas.",
      )
      .action((channel: string | undefined, flags: ClientFlags) =>
        send(cli, flags, { path: channel === undefined ? "/claim" : `/channels/${idOf(channel)}/claim` })
      ),
    ["velas-sphere payments claim", "all channels in one transaction"],
  );

  for (
    const [verb, summary, text] of [
      [
        "close",
        "end a channel that pays this node",
        "Claim what a channel owes and end it at once; the rest goes back to its payer.",
      ],
      [
        "exit",
        "end a channel on which this node pays",
        "Announce the end of a channel on which this node pays, or, after its delay, end it and get the rest back.",
      ],
    ] as const
  ) {
    withExamples(
      withClientOptions(payments.command(verb).summary(summary).argument("<channel>", "the channel's id"))
        .description(text)
        .action((channel: string, flags: ClientFlags) =>
          send(cli, flags, { path: `/channels/${idOf(channel)}/${verb}` })
        ),
      [`velas-sphere payments ${verb} 0x7099…`, "one transaction"],
    );
  }

  withExamples(
    withClientOptions(
      payments.command("register").summary("make this node known in the registry")
        .argument("<target>", "where others reach its RPC, host:port"),
    )
      .description(
        "Write into the registry where this node is, so that others find it; again to change it or to add stake.",
      )
      .option("--region <name>", "where it is, such as eu-west")
      .option("--stake <wei>", "coins to add to the stake, which a node loses that is found cheating")
      .action((target: string, flags: ClientFlags & { region?: string; stake?: string }) => {
        const { region, stake } = flags;
        const json = {
          target,
          ...(region !== undefined && { region }),
          ...(stake !== undefined && { stake: amountOf(stake) }),
        };
        return send(cli, flags, { path: "/register", json });
      }),
    ["velas-sphere payments register node.example:8081 --region eu-west", "as others are to find it"],
  );

  withExamples(
    withClientOptions(payments.command("withdraw").summary("withdraw from the contract"))
      .description("Send what the contract holds for this node to its account, or to another one.")
      .option("--amount <wei>", "how much; all without it")
      .option("--to <address>", "the account; this node's without it")
      .option("--token <address>", "the ERC-20; the chain's coin without it")
      .action((flags: ClientFlags & { amount?: string; to?: string; token?: string }) => {
        const { amount, to, token } = flags;
        const json = {
          ...(amount !== undefined && { amount: amountOf(amount) }),
          ...(to !== undefined && { to }),
          ...(token !== undefined && { token }),
        };
        return send(cli, flags, { path: "/withdraw", json });
      }),
    ["velas-sphere payments withdraw", "everything"],
  );
}

async function channels(cli: CliContext, flags: ClientFlags): Promise<Row[]> {
  return (await clientOf(cli, flags).json<{ channels: Row[] }>("GET", "/v1/payments/channels")).channels;
}

async function tokens(cli: CliContext, flags: ClientFlags): Promise<readonly TokenJson[]> {
  return (await clientOf(cli, flags).json<{ tokens: TokenJson[] }>("GET", "/v1/payments/tokens")).tokens;
}

async function nameOf(cli: CliContext, flags: ClientFlags, token: string | undefined): Promise<string> {
  return tokenName(token, (await tokens(cli, flags)).find(({ address }) => address === token));
}

async function list(
  cli: CliContext,
  flags: ListFlags,
  { columns, rows }: { readonly columns: readonly string[]; readonly rows: readonly Row[] },
): Promise<void> {
  if (flags.json === true) return cli.out.line(JSON.stringify(rows));
  // One that calls its columns so has them from the node already.
  const isOfTokens = columns[0] === "token";
  const known = isOfTokens || rows.every(({ token }) => isCoin(token)) ? [] : await tokens(cli, flags);
  const infoOf = (row: Row) => known.find(({ address }) => address === row["token"]);
  if (flags.csv === true) {
    cli.out.line(columns.join(","));
    for (const row of rows) {
      const { symbol, decimals } = infoOf(row) ?? {};
      const whole: Row = { symbol, decimals, ...row };
      cli.out.line(columns.map((column) => csvOf(textOf(whole[column]))).join(","));
    }
  } else if (rows.length === 0) cli.err.line("None.");
  else {
    const { bold } = cli.out.colors;
    // For people the symbol and a short address are one column.
    const shown = isOfTokens ? columns : columns.filter((column) => column !== "symbol" && column !== "decimals");
    const cell = (row: Row, column: string) =>
      column === "token" && !isOfTokens ? tokenName(row[column] as string, infoOf(row)) : textOf(row[column]);
    show(cli, [shown.map(bold), ...rows.map((row) => shown.map((column) => cell(row, column)))]);
  }
}

/** The chain and the balances, with a line for each token that the contract holds for the node. */
async function showSummary(cli: CliContext, flags: ClientFlags, summary: Row): Promise<void> {
  const { credits, credit, ...rest } = summary;
  const held = (Array.isArray(credits) ? credits : [{ amount: credit }]) as { token?: string; amount: string }[];
  const known = held.every(({ token }) => isCoin(token)) ? [] : await tokens(cli, flags);
  const lines = held.map(({ token, amount }) => {
    const info = known.find(({ address }) => address === token);
    return ["credit", `${textOf(amount)}${isCoin(token) ? "" : ` of ${tokenName(token, info)}`}`];
  });
  show(cli, [...Object.entries(rest).map(([name, value]) => [name, textOf(value)]), ...lines]);
}

function show(cli: CliContext, rows: string[][]): void {
  for (const line of formatTable(rows)) cli.out.line(line);
}

async function send(
  cli: CliContext,
  flags: ClientFlags,
  { path, json }: { readonly path: string; readonly json?: Row },
): Promise<void> {
  const mined = await clientOf(cli, flags).json<{ hash?: string; gasUsed?: string }>(
    "POST",
    `/v1/payments${path}`,
    json === undefined ? {} : { json },
  );
  if (flags.json === true) cli.out.line(JSON.stringify(mined));
  else if (mined.hash === undefined) cli.out.line("There was nothing to do.");
  else cli.out.line(`Mined ${printable(mined.hash)}, ${printable(mined.gasUsed ?? "")} gas`);
}

function textOf(value: unknown): string {
  return value === undefined ? "" : printable(String(value));
}

function csvOf(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function amountOf(text: string): string {
  if (/^[0-9]{1,38}$/.test(text)) return text;
  throw new NodeError("invalid_argument", `"${text}" is not an amount: give a whole number of wei`);
}

function idOf(text: string): string {
  if (/^0x[0-9a-f]{64}$/.test(text)) return text;
  throw new NodeError("invalid_argument", `"${text}" is not a channel's id: "payments channels" lists them`);
}
