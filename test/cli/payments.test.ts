import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { startFake } from "./fake-node.ts";
import { runHere } from "./harness.ts";

const COIN = `0x${"0".repeat(40)}`;
const TOKEN = "0x1234567890AbcdEF1234567890aBcdef12345678";
const NAMELESS = "0xABcdEFABcdEFabcdEfAbCdefabcdeFABcDEFabCD";
const HASH = `0x${"7".repeat(64)}`;

function channelJson(token: string, more: object = {}) {
  return {
    channelId: HASH,
    role: "payer",
    peer: NAMELESS,
    token,
    deposit: "2500000",
    charged: "10",
    paid: "20",
    claimed: "0",
    items: 1,
    state: "open",
    ...more,
  };
}

const TOKENS = {
  "GET /v1/payments/tokens": {
    json: { chainId: 31337, tokens: [{ address: TOKEN, symbol: "USDC", decimals: 6 }, { address: NAMELESS }] },
  },
};

test("payments channels names the token of each with its short address, and each part on its own as CSV", async (t) => {
  const fake = await startFake(t, {
    ...TOKENS,
    "GET /v1/payments/channels": { json: { channels: [COIN, TOKEN, NAMELESS].map((token) => channelJson(token)) } },
  });
  const table = await runHere(["payments", "channels", "--url", fake.url]);
  const [head, ...rows] = table.stdout.trimEnd().split("\n");
  assert.match(head!, /items +token$/);
  assert.deepEqual(rows.map((row) => / 0 +1 +(\S.*)$/.exec(row)?.[1]), ["coin", "USDC (0x1234…5678)", "0xABcd…abCD"]);
  const csv = await runHere(["payments", "channels", "--csv", "--url", fake.url]);
  const lines = csv.stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /,items,token,symbol,decimals$/);
  assert.deepEqual(lines.slice(1).map((line) => line.split(",").slice(-3)), [
    [COIN, "", ""],
    [TOKEN, "USDC", "6"],
    [NAMELESS, "", ""],
  ]);
});

test("payments channels in coins asks for no tokens", async (t) => {
  const fake = await startFake(t, { "GET /v1/payments/channels": { json: { channels: [channelJson(COIN)] } } });
  assert.equal((await runHere(["payments", "channels", "--url", fake.url])).code, 0);
  assert.equal(fake.seen.length, 1);
});

test("payments tokens, totals and receipts name the token; a symbol that nobody would show is left out", async (t) => {
  const day = { day: "2027-01-15", direction: "spent", peer: NAMELESS, amount: "10", items: 1 };
  const receipt = { channelId: HASH, sequence: 1, charged: "10", paid: "20", items: 1, issuedAt: "…", signature: "0x" };
  const fake = await startFake(t, {
    "GET /v1/payments/tokens": {
      json: { chainId: 31337, tokens: [{ address: TOKEN, symbol: "\u202eHTE (0x0000…", decimals: 18 }] },
    },
    "GET /v1/payments/totals": { json: { totals: [{ ...day, token: TOKEN }, day] } },
    "GET /v1/payments/channels": { json: { channels: [channelJson(TOKEN, { receipt })] } },
  });
  const run = async (what: string) => (await runHere(["payments", what, "--url", fake.url])).stdout;
  assert.match(await run("totals"), /10 +1 +0x1234…5678\n.*10 +1 +coin\n$/);
  assert.match(await run("receipts"), /0x +0x1234…5678\n$/);
  const tokens = await run("tokens");
  assert.match(tokens, /^token +symbol +decimals\n0x1234567890AbcdEF1234567890aBcdef12345678 /);
  assert.doesNotMatch(tokens, /\u202e/);
});

test("payments quotes shows by which prices shards are kept, and until when", async (t) => {
  const quote = { provider: NAMELESS, channelId: HASH, rates: { token: TOKEN, gibHour: "7", minimum: "1" } };
  const fake = await startFake(t, {
    ...TOKENS,
    "GET /v1/payments/quotes": {
      json: { quotes: [{ digest: HASH, keepUntil: "2027-02-14T08:00:00.000Z", quote: { ...quote, expiresAt: 0 } }] },
    },
  });
  const { stdout } = await runHere(["payments", "quotes", "--csv", "--url", fake.url]);
  assert.equal(
    stdout,
    "digest,provider,channelId,gibHour,minimum,expiresAt,keepUntil,token,symbol,decimals\n" +
      `${HASH},${NAMELESS},${HASH},7,1,1970-01-01T00:00:00.000Z,2027-02-14T08:00:00.000Z,${TOKEN},USDC,6\n`,
  );
});

const RECEIPT = {
  channelId: HASH,
  sequence: 1,
  charged: "10",
  paid: "20",
  items: 1,
  issuedAt: "then",
  signature: "0x",
};
const QUOTE = {
  provider: NAMELESS,
  channelId: HASH,
  rates: { token: TOKEN, gibHour: "7", minimum: "1" },
  expiresAt: 0,
};
const BOOKS: Readonly<Record<string, { list: string; items: object[]; row: string }>> = {
  channels: {
    list: "channels",
    items: [channelJson(TOKEN)],
    row: `${HASH},payer,open,${NAMELESS},2500000,10,20,0,1`,
  },
  vouchers: {
    list: "channels",
    items: [channelJson(TOKEN), channelJson(TOKEN, { voucher: "0x66" })],
    row: `${HASH},payer,${NAMELESS},20,0x66`,
  },
  receipts: {
    list: "channels",
    items: [channelJson(TOKEN), channelJson(TOKEN, { receipt: RECEIPT })],
    row: `${HASH},1,10,20,1,then,0x`,
  },
  quotes: {
    list: "quotes",
    items: [{ digest: HASH, keepUntil: "later", quote: QUOTE }],
    row: `${HASH},${NAMELESS},${HASH},7,1,1970-01-01T00:00:00.000Z,later`,
  },
  totals: {
    list: "totals",
    items: [{ day: "2027-01-15", direction: "spent", peer: NAMELESS, amount: "10", items: 1, token: TOKEN }],
    row: `2027-01-15,spent,${NAMELESS},10,1`,
  },
};

for (const [name, { list, items, row }] of Object.entries(BOOKS)) {
  test(`payments ${name} --csv runs no formula, quotes what needs it, and has its line of names also when empty`, async (t) => {
    const csvOf = async (items: readonly object[], symbol: string) => {
      const fake = await startFake(t, {
        "GET /v1/payments/tokens": { json: { chainId: 1, tokens: [{ address: TOKEN, symbol, decimals: 6 }] } },
        [`GET /v1/payments/${list}`]: { json: { [list]: items } },
      });
      const { code, stdout } = await runHere(["payments", name, "--csv", "--url", fake.url]);
      assert.equal(code, 0);
      return stdout;
    };
    const head = await csvOf([], "USDC");
    assert.match(head, /^[a-zA-Z,]+,token,symbol,decimals\n$/);
    assert.equal(head.split(",").length, row.split(",").length + 3);
    for (
      const [symbol, cell] of [
        ["USDC", "USDC"],
        ["-2+3", "'-2+3"],
        ["+1", "'+1"],
        ["@SUM(A1)", "'@SUM(A1)"],
        ['=HYPERLINK("x","y")', `"'=HYPERLINK(""x"",""y"")"`],
        ["a,b", '"a,b"'],
        ['say "x"', '"say ""x"""'],
      ] as const
    ) {
      assert.equal(await csvOf(items, symbol), `${head}${row},${TOKEN},${cell},6\n`);
    }
  });
}

test("payments tokens --csv runs no formula and has its line of names also when empty", async (t) => {
  const tokens = [{ address: TOKEN, symbol: "=1+1", decimals: 6 }, { address: NAMELESS }];
  for (const known of [tokens, []]) {
    const fake = await startFake(t, { "GET /v1/payments/tokens": { json: { chainId: 1, tokens: known } } });
    const { stdout } = await runHere(["payments", "tokens", "--csv", "--url", fake.url]);
    const rows = known.length === 0 ? "" : `${TOKEN},'=1+1,6\n${NAMELESS},,\n`;
    assert.equal(stdout, `token,symbol,decimals\n${rows}`);
  }
});

test("payments open says which token it took, and passes on which one it may be", async (t) => {
  const fake = await startFake(t, {
    ...TOKENS,
    "POST /v1/payments/channels": { status: 201, json: channelJson(TOKEN) },
  });
  const opened = await runHere(["payments", "open", "p:1", "2500000", "--token", TOKEN, "--url", fake.url]);
  assert.equal(opened.stdout, `Opened ${HASH} with 2500000 of USDC (0x1234…5678)\n`);
  assert.deepEqual(JSON.parse(fake.seen[0]!.body.toString()), { target: "p:1", amount: "2500000", token: TOKEN });
});

test("payments show has a line of credit for each token", async (t) => {
  const summary = {
    chainId: 1,
    balance: "5",
    credit: "7",
    credits: [{ token: COIN, amount: "0" }, { token: TOKEN, amount: "7" }],
  };
  const fake = await startFake(t, { ...TOKENS, "GET /v1/payments": { json: summary } });
  const { stdout } = await runHere(["payments", "show", "--url", fake.url]);
  assert.match(stdout, /^chainId +1\nbalance +5\ncredit +0\ncredit +7 of USDC \(0x1234…5678\)\n$/);
});
