import type { Command } from "commander";
import { NodeError, PAYMENT_TABLES, paymentCsv, type PaymentRow as Row, type PaymentTableName } from "../core/mod.ts";
import { type ClientFlags, clientOf, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { formatTable, printable } from "./terminal.ts";
import { isCoin, type TokenJson, tokenName } from "./token-names.ts";

interface ListFlags extends ClientFlags {
  readonly csv?: boolean;
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
    const [name, summary] of [
      ["channels", "list payment channels"],
      ["vouchers", "list the newest voucher of each channel"],
      ["receipts", "list the newest receipt of each channel, as its provider signed it"],
      ["quotes", "list the quotes that providers keep this node's shards by"],
      ["custody", "list the promises to keep a shard or to lose stake, of this node and of its providers"],
      ["totals", "list what was spent and earned by day, peer and token"],
      ["tokens", "list the ERC-20 tokens that the node deals in, as they call themselves"],
    ] as const
  ) {
    withExamples(
      withClientOptions(payments.command(name).summary(summary))
        .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`)
        .option("--csv", "comma-separated values, with a line of names")
        .action((flags: ListFlags) => list(cli, flags, name)),
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
    withClientOptions(
      payments.command("challenge").summary("challenge a provider on the chain to show a shard")
        .argument("<what>", "the id of a file, a shard or a custody statement"),
    )
      .description(
        "Have the Audit contract draw a leaf of a shard, which its provider must show within a day. Of a file, the shards that failed an audit " +
          "are challenged. The bond is the provider's when it answers, and comes back as credit in the contract when it does not.",
      )
      .action(async (what: string, flags: ClientFlags) => {
        for (const { id } of await statementsOf(cli, flags, what)) {
          const path = `/v1/payments/custody/${textOf(id)}/challenge`;
          const { deadline, ...mined } = await clientOf(cli, flags).json<Row>("POST", path);
          if (flags.json === true) cli.out.line(JSON.stringify({ id, deadline, ...mined }));
          else cli.out.line(`Challenged ${textOf(id)}: the provider may answer until ${textOf(deadline)}`);
        }
      }),
    ["velas-sphere payments challenge 00112233445566778899aabbccddeeff", "what of a file was lost"],
  );

  withExamples(
    withClientOptions(
      payments.command("slash").summary("slash a provider that did not answer a challenge")
        .argument("<what>", "the id of a file, a shard or a custody statement"),
    )
      .description(
        "Have a provider whose time to answer is over lose the penalty; half of it is credit in the registry.",
      )
      .action(async (what: string, flags: ClientFlags) => {
        for (const { id } of await statementsOf(cli, flags, what)) {
          await send(cli, flags, { path: `/custody/${textOf(id)}/slash` });
        }
      }),
    ["velas-sphere payments slash 00112233445566778899aabbccddeeff", "a day after the challenge"],
  );

  withExamples(
    withClientOptions(
      payments.command("pledge").summary("promise that the stake stays").argument(
        "<days>",
        "for how many days from now",
      ),
    )
      .description(
        "Promise in the registry that no stake leaves for some days. Requesters take a custody statement only when its lease ends before that.",
      )
      .action((days: string, flags: ClientFlags) => {
        if (!/^[0-9]{1,4}$/.test(days)) {
          throw new NodeError("invalid_argument", `"${days}" is no number of days: give a whole one, up to 1095`);
        }
        const until = new Date(Date.now() + Number(days) * 86_400_000).toISOString();
        return send(cli, flags, { path: "/pledge", json: { until } });
      }),
    ["velas-sphere payments pledge 365", "for a year"],
  );

  withExamples(
    withClientOptions(payments.command("withdraw").summary("withdraw from the contract"))
      .description("Send what the contract holds for this node to its account, or to another one.")
      .option("--amount <wei>", "how much; all without it")
      .option("--to <address>", "the account; this node's without it")
      .option("--token <address>", "the ERC-20; the chain's coin without it")
      .option("--from <contract>", "channels, audit (bonds that came back) or registry (what others lost to this node)")
      .action((flags: ClientFlags & { amount?: string; to?: string; token?: string; from?: string }) => {
        const { amount, to, token, from } = flags;
        const json = {
          ...(amount !== undefined && { amount: amountOf(amount) }),
          ...(to !== undefined && { to }),
          ...(token !== undefined && { token }),
          ...(from !== undefined && { from }),
        };
        return send(cli, flags, { path: "/withdraw", json });
      }),
    ["velas-sphere payments withdraw", "everything"],
  );
}

async function statements(cli: CliContext, flags: ClientFlags): Promise<Row[]> {
  return (await clientOf(cli, flags).json<{ custody: Row[] }>("GET", "/v1/payments/custody")).custody;
}

/** The statements that a word means: the one with that id, or those over a shard or over what was lost of a file. */
async function statementsOf(cli: CliContext, flags: ClientFlags, what: string): Promise<readonly Row[]> {
  const held = (await statements(cli, flags)).filter(({ role }) => role === "requester");
  const named = held.filter(({ id, shard }) => id === what || shard === what);
  if (named.length > 0) return named.slice(-1);
  const ofFile = held.filter(({ fileId }) => fileId === what);
  const lost = ofFile.filter((row) => row["lost"] === true);
  if (lost.length > 0) return lost;
  throw new NodeError(
    ofFile.length > 0 ? "failed_precondition" : "not_found",
    ofFile.length > 0
      ? `No shard of file ${what} was lost: name a shard or a statement ("payments custody" lists them)`
      : `No provider has put stake on "${what}": give the id of a file, a shard or a statement ("payments custody" lists them)`,
  );
}

async function tokens(cli: CliContext, flags: ClientFlags): Promise<readonly TokenJson[]> {
  return (await clientOf(cli, flags).json<{ tokens: TokenJson[] }>("GET", "/v1/payments/tokens")).tokens;
}

async function nameOf(cli: CliContext, flags: ClientFlags, token: string | undefined): Promise<string> {
  return tokenName(token, (await tokens(cli, flags)).find(({ address }) => address === token));
}

async function list(cli: CliContext, flags: ListFlags, name: PaymentTableName): Promise<void> {
  const { list, columns: all, rows: rowsOf } = PAYMENT_TABLES[name];
  const answer = await clientOf(cli, flags).json<Record<typeof list, Row[]>>("GET", `/v1/payments/${list}`);
  const rows = rowsOf(answer[list]);
  if (flags.json === true) return cli.out.line(JSON.stringify(rows));
  // Rows of tokens say so themselves.
  const isOfTokens = name === "tokens";
  const known = isOfTokens || rows.every(({ token }) => isCoin(token)) ? [] : await tokens(cli, flags);
  const infoOf = (row: Row) => known.find(({ address }) => address === row["token"]);
  if (flags.csv === true) {
    for (const line of paymentCsv(name, rows, known).slice(0, -1).split("\n")) cli.out.line(printable(line));
  } else if (rows.length === 0) cli.err.line("None.");
  else {
    const { bold } = cli.out.colors;
    // For people the symbol and a short address are one column.
    const columns = isOfTokens ? all : all.filter((column) => column !== "symbol" && column !== "decimals");
    const cell = (row: Row, column: string) =>
      column === "token" && !isOfTokens ? tokenName(row[column] as string, infoOf(row)) : textOf(row[column]);
    show(cli, [columns.map(bold), ...rows.map((row) => columns.map((column) => cell(row, column)))]);
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

function amountOf(text: string): string {
  if (/^[0-9]{1,38}$/.test(text)) return text;
  throw new NodeError("invalid_argument", `"${text}" is not an amount: give a whole number of wei`);
}

function idOf(text: string): string {
  if (/^0x[0-9a-f]{64}$/.test(text)) return text;
  throw new NodeError("invalid_argument", `"${text}" is not a channel's id: "payments channels" lists them`);
}
