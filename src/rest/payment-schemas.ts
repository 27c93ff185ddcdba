import { z } from "@hono/zod-openapi";
import { PAYMENT_TABLES, type PaymentTableName } from "../core/mod.ts";
import { Target } from "./schema-fields.ts";

/** How calls fail that send a transaction. */
export const PAYMENT_PROBLEMS = ["invalid_argument", "not_found", "failed_precondition", "chain_failed"] as const;

/** An amount of money: a text, since JSON's numbers end at 2^53. */
export const Amount = z.string().regex(/^[0-9]{1,38}$/).openapi({
  description: "A whole number in the token's smallest unit (wei).",
  examples: ["1000000000000000"],
});
export const Address = z.string().regex(/^0x[0-9a-fA-F]{40}$/).openapi({
  examples: ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"],
});
export const ChannelId = z.string().regex(/^0x[0-9a-f]{64}$/).openapi({
  description: "A channel's id, as the contract gave it.",
  examples: ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8000000000000000000000007"],
});

export const TokenAddress = Address.openapi({ description: "The ERC-20, or the zero address for the chain's coin." });

export const TokenInfo = z.strictObject({
  address: Address.openapi({ description: "The ERC-20's contract." }),
  symbol: z.string().optional().openapi({
    description:
      "What the contract calls itself, 1 to 16 Latin letters, digits and a few signs; absent where it tells nothing like that. Anybody may " +
      "deploy a token of any name: show the address beside it.",
    examples: ["USDC"],
  }),
  decimals: z.int().min(0).max(36).optional().openapi({
    description: "How many digits of an amount are behind the point; absent where the contract does not tell.",
    examples: [6],
  }),
}).openapi("TokenInfo", { description: "What an ERC-20 tells of itself; none of it is to be believed." });

export const TokenList = z.strictObject({
  chainId: z.int().openapi({ description: "The chain that they are on.", examples: [31337] }),
  tokens: z.array(TokenInfo),
}).openapi("TokenList");

export const Receipt = z.strictObject({
  channelId: ChannelId,
  sequence: z.int().openapi({ examples: [3] }),
  charged: Amount,
  paid: Amount,
  items: z.int().openapi({ examples: [42] }),
  issuedAt: z.string().openapi({ examples: ["2027-01-15T08:00:00.000Z"] }),
  signature: z.string().openapi({ description: "The payee's, over the EIP-712 type Receipt.", examples: ["0x…"] }),
}).openapi("Receipt", { description: "The payee's signed word on what it has charged." });

export const Channel = z.strictObject({
  channelId: ChannelId,
  role: z.enum(["payer", "payee"]).openapi({ description: "Whether this node pays on it, or is paid." }),
  peer: Address.openapi({ description: "The node at the other end." }),
  target: Target.optional(),
  token: TokenAddress,
  deposit: Amount,
  charged: Amount.openapi({ description: "What was charged so far." }),
  paid: Amount.openapi({ description: "The sum of the newest voucher." }),
  claimed: Amount.openapi({ description: "What the payee has claimed on the chain, as far as this node knows." }),
  items: z.int().openapi({ description: "Tasks and storage operations.", examples: [42] }),
  state: z.enum(["open", "exiting", "closed", "disputed"]),
  receipt: Receipt.optional(),
  owedSince: z.string().optional().openapi({
    description: "Since when the payer owes more than it has paid.",
    examples: ["2027-01-15T08:00:00.000Z"],
  }),
  voucher: z.string().optional().openapi({ description: "The newest voucher's signature.", examples: ["0x…"] }),
}).openapi("Channel", { description: "A payment channel as this node's books have it." });

export const ChannelList = z.strictObject({ channels: z.array(Channel) }).openapi("ChannelList");

export const DayTotal = z.strictObject({
  day: z.string().openapi({ examples: ["2027-01-15"] }),
  direction: z.enum(["spent", "earned"]),
  peer: Address,
  token: TokenAddress,
  amount: Amount,
  items: z.int().openapi({ examples: [42] }),
}).openapi("DayTotal", { description: "What was spent at, or earned from, one peer on one day (UTC) in one token." });

export const DayTotalList = z.strictObject({ totals: z.array(DayTotal) }).openapi("DayTotalList");

export const PaymentTable = z.enum(Object.keys(PAYMENT_TABLES) as [PaymentTableName, ...PaymentTableName[]]).openapi({
  description: "Which table.",
  examples: ["totals"],
});

export const PaymentSummary = z.strictObject({
  chainId: z.int().openapi({ examples: [31337] }),
  channels: Address.openapi({ description: "The Channels contract." }),
  account: Address.openapi({ description: "This node's account." }),
  balance: Amount.openapi({ description: "The coins of the account." }),
  credit: Amount.openapi({
    description: "What the contract holds for it in the token of its prices, to be withdrawn.",
  }),
  credits: z.array(z.strictObject({ token: TokenAddress, amount: Amount })).openapi({
    description:
      "What the contract holds for it in the chain's coin, which comes first, and in each token that it deals in.",
  }),
  head: z.string().openapi({ description: "The newest block that was seen.", examples: ["1234"] }),
  healthy: z.boolean().openapi({ description: "Whether the chain is believed now; without it no credit is given." }),
}).openapi("PaymentSummary");

export const Offer = z.strictObject({
  provider: Address.openapi({ description: "The node, whose key signs." }),
  rates: z.strictObject({
    token: Address.openapi({ description: "The ERC-20 to pay in, or the zero address for the chain's coin." }),
    gibHour: Amount.openapi({ description: "For a GiB (2^30 bytes) kept for an hour." }),
    gibWritten: Amount.openapi({ description: "For a GiB that comes in." }),
    gibRead: Amount.openapi({ description: "For a GiB that goes out." }),
    megaInstructions: Amount.openapi({ description: "For a million metered instructions." }),
    cpuSecond: Amount.openapi({ description: "For a second in the plugin: the most that instructions cost." }),
    gpuSecond: Amount.openapi({ description: "For a second on a GPU." }),
    minimum: Amount.openapi({ description: "For each task or storage operation, however small." }),
  }).openapi({ description: "What it wants." }),
  defaultTimeoutMs: z.int().openapi({ description: "What a task gets that asks for no time.", examples: [30_000] }),
  defaultOutputBytes: z.int().openapi({ description: "And for no size of output.", examples: [1_048_576] }),
  maxInputBytes: z.int().openapi({ description: "The most that a streamed input may have.", examples: [16_777_216] }),
  costTable: z.int().optional().openapi({
    description:
      "The version of the cost table that instructions are counted by; there, and signed, where they cost something.",
    examples: [1],
  }),
  issuedAt: z.int().openapi({ description: "Milliseconds since the epoch, as signed.", examples: [1_800_000_000_000] }),
  expiresAt: z.int().openapi({ description: "Milliseconds since the epoch.", examples: [1_800_003_600_000] }),
}).openapi("Offer", { description: "Prices for everybody, until they expire." });

export const SignedOfferJson = z.strictObject({
  chainId: z.int().openapi({ description: "The chain that it is paid on.", examples: [31337] }),
  channels: Address.openapi({ description: "The Channels contract; with the chain it is part of what is signed." }),
  offer: Offer,
  signature: z.string().regex(/^0x[0-9a-f]{130}$/).openapi({
    description: "The provider's, over the EIP-712 type Offer.",
    examples: [`0x${"00".repeat(65)}`],
  }),
}).openapi("SignedOffer", { description: "An offer with the provider's signature." });

export const LeaseQuote = z.strictObject({
  digest: z.string().openapi({
    description: "Its EIP-712 digest, which the leases by it name.",
    examples: ["0x9a46d67bc5649f17bf422392b771fbe4716bc2d80df5ab83597e6097baa93177"],
  }),
  chainId: z.int().openapi({ description: "The chain that it is paid on.", examples: [31337] }),
  channels: Address.openapi({ description: "The Channels contract; with the chain it is part of what is signed." }),
  quote: Offer.extend({
    requester: Address.openapi({ description: "For whom the prices are." }),
    channelId: ChannelId,
    nonce: z.string().openapi({ description: "32 bytes, drawn for each quote.", examples: [`0x${"11".repeat(32)}`] }),
  }).openapi("Quote", { description: "Prices for one requester on one channel, until they expire." }),
  signature: z.string().regex(/^0x[0-9a-f]{130}$/).openapi({
    description: "The provider's, over the EIP-712 type Quote.",
    examples: [`0x${"00".repeat(65)}`],
  }),
  keepUntil: z.string().openapi({
    description: "When the last lease by it is over at the latest; then it is forgotten.",
    examples: ["2027-02-14T08:00:00.000Z"],
  }),
}).openapi("LeaseQuote", { description: "A quote that leases of this node's shards are by." });

export const QuoteList = z.strictObject({ quotes: z.array(LeaseQuote) }).openapi("QuoteList");

export const StatementId = z.string().regex(/^0x[0-9a-f]{64}$/).openapi({
  description: "A custody statement's id: its EIP-712 digest.",
  examples: ["0xc9b56c107dc3900b0c7025a30e496f73a80dd844311cf8ab35fc614ffb0a61f5"],
});

export const CustodyStatement = z.strictObject({
  id: StatementId,
  role: z.enum(["provider", "requester"]).openapi({ description: "Whether this node keeps the shard or has it kept." }),
  provider: Address.openapi({ description: "Who keeps the shard, or loses stake." }),
  requester: Address.openapi({ description: "Who gets half of what is lost." }),
  shard: z.string().openapi({ description: "The shard's id.", examples: ["0f8a3c5d9b2e47618c0d4e7fa1b2c3d4"] }),
  fileId: z.string().optional().openapi({
    description: "The file that the shard is of, where this node has it kept.",
    examples: ["00112233445566778899aabbccddeeff"],
  }),
  root: z.string().openapi({ description: "The root of the shard's tree.", examples: [`0x${"ab".repeat(32)}`] }),
  leafCount: z.int().openapi({ description: "Leaves of 1 KiB.", examples: [65] }),
  expiresAt: z.string().openapi({
    description: "Until when it can be challenged.",
    examples: ["2027-02-14T08:00:00.000Z"],
  }),
  penalty: Amount.openapi({ description: "What the provider loses." }),
  lease: z.string().openapi({
    description: "The digest of the lease that it is for.",
    examples: [`0x${"25".repeat(32)}`],
  }),
  signature: z.string().openapi({ description: "The provider's, over the EIP-712 type Custody.", examples: ["0x…"] }),
  lost: z.boolean().openapi({
    description: "Whether the provider failed to prove the shard; then it is never released.",
  }),
  released: z.boolean().openapi({ description: "Whether the requester has released this node." }),
  challenge: z.strictObject({
    state: z.enum(["open", "answered", "slashed", "done"]).openapi({
      description: "Not answered yet; answered by the provider; ended by a slash; or ended otherwise.",
    }),
    deadline: z.string().optional().openapi({
      description: "Until when the provider may answer, of one that is open.",
      examples: ["2027-02-15T08:00:00.000Z"],
    }),
    at: z.string().openapi({ description: "When that was seen first.", examples: ["2027-02-14T08:00:00.000Z"] }),
  }).optional().openapi({ description: "How its challenge stands, where this node has looked for one." }),
}).openapi("CustodyStatement", { description: "A provider's promise to keep a shard or to lose stake." });

export const CustodyList = z.strictObject({ custody: z.array(CustodyStatement) }).openapi("CustodyList");

export const Pledge = z.strictObject({
  until: z.iso.datetime().openapi({
    description: "Until when no stake leaves, later than any pledge before and 3 years ahead at most.",
    examples: ["2027-06-01T00:00:00Z"],
  }),
}).openapi("Pledge");

export const Mined = z.strictObject({
  hash: z.string().optional().openapi({ description: "Absent when there was nothing to do.", examples: ["0x…"] }),
  gasUsed: z.string().optional().openapi({ examples: ["43105"] }),
}).openapi("MinedTransaction", { description: "A transaction that was mined." });

export const ChallengeMined = z.strictObject({
  hash: z.string().openapi({ description: "The transaction.", examples: ["0x…"] }),
  gasUsed: z.string().openapi({ examples: ["108372"] }),
  deadline: z.string().openapi({
    description: "Until when the provider may answer; after it, it can be slashed.",
    examples: ["2027-01-16T08:00:00.000Z"],
  }),
}).openapi("MinedChallenge", { description: "A challenge that was opened." });

export const AskOffer = z.strictObject({ target: Target }).openapi("AskOffer");

export const ProviderOffer = z.strictObject({
  target: Target,
  offer: Offer.optional().openapi({ description: "Its prices; absent when it works free of charge." }),
  token: TokenInfo.optional().openapi({
    description: "What the token that it wants tells of itself; absent for the chain's coin.",
  }),
}).openapi("ProviderOffer", { description: "What a provider wants, by its signed offer." });

export const OpenChannel = z.strictObject({
  target: Target,
  amount: Amount,
  token: Address.optional().openapi({
    description:
      "What the amount is in: the channel is refused when the provider wants another token. Without it, it is in whatever the provider wants.",
  }),
}).openapi("OpenChannel");
export const TopUp = z.strictObject({ amount: Amount }).openapi("TopUp");
export const Withdraw = z.strictObject({
  token: Address.optional(),
  amount: Amount.optional(),
  to: Address.optional(),
  from: z.enum(["channels", "audit", "registry"]).optional().openapi({
    description:
      "The contract that holds it: `channels` unless said otherwise, `audit` for bonds, `registry` for stake that left and what others lost to this node.",
  }),
}).openapi("Withdraw");
export const Register = z.strictObject({
  target: Target.openapi({ description: "Where others reach this node's RPC." }),
  region: z.string().max(32).optional().openapi({
    description: "In words that others compare; up to 32 printable ASCII characters.",
    examples: ["eu-west"],
  }),
  stake: Amount.optional().openapi({ description: "Coins to add to the stake." }),
}).openapi("Register", { description: "What a node says of itself in the registry." });
