import * as z from "zod";
import { choice, duration, integer, text, texts } from "../setting.ts";

/** An amount of money: a whole number in the token's smallest unit, in quotes, since JSON's numbers end at 2^53. */
function amount(options: { readonly default: string; readonly description: string }) {
  return text({
    ...options,
    pattern: /^[0-9]{1,38}$/,
    expectation: 'a whole number in quotes, such as "1000000000" (wei, or the smallest unit of the token)',
  });
}

/** The address of a contract, or nothing. */
function contract(description: string) {
  return text({
    default: "",
    pattern: /^(?:0x[0-9a-fA-F]{40})?$/,
    expectation: "an address of 0x and 40 hex digits",
    description,
  });
}

/** Money: the chain, budgets and credit. */
export const payments = z.strictObject({
  rpcUrls: texts({
    default: [],
    expectation: "a list of URLs",
    description:
      "HTTP endpoints of the chain that this node pays and is paid on, asked in this order. Without one it works free of charge",
  }),
  chainId: integer({
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "The number of that chain. Endpoints of another one are refused",
  }),
  channels: contract("Where the Channels contract was deployed"),
  registry: contract("Where the Registry contract was deployed; without it only configured peers are known"),
  audit: contract("Where the Audit contract was deployed; without it no stake is put on shards, and none is asked for"),
  custodyPenalty: amount({
    default: "0",
    description:
      "What of its stake this node puts on each shard that it is paid to keep, when the shard's owner asks: it loses as much when it does not " +
      "show a leaf of it within a day of a challenge. 0 puts none",
  }),
  custodyChallenge: choice(["off", "auto"], {
    default: "auto",
    description:
      "Whether a provider that failed to prove a shard which it has put stake on is challenged on the chain without being told to, and slashed " +
      "when it does not answer. A challenge costs gas, and a bond when it is answered: none is opened that may cost more than a slash brings, one " +
      "a provider until it was slashed, and none for 30 days after it has answered one. off: only by `payments challenge`",
  }),
  confirmations: integer({
    default: 2,
    min: 0,
    max: 1000,
    description: "How many blocks must lie on a channel or a transaction before it is believed",
  }),
  maxHeadAgeMs: duration({
    default: "10m",
    min: 0,
    max: 86_400_000,
    description:
      "How old the newest block may be before no credit is given on the chain's word; 0 for chains that make blocks only when there is something to put in",
  }),
  deposit: amount({
    default: "0",
    description: "The deposit of the channel that is opened when a provider wants to be paid; 0 opens none by itself",
  }),
  window: amount({
    default: "0",
    description:
      "What is paid ahead of need at least, so that not every task waits for a voucher: what a provider could keep without working. A tenth of what a task may cost when that is more",
  }),
  capTask: amount({ default: "0", description: "The most that one task or storage operation may cost; 0 is no cap" }),
  capPeer: amount({ default: "0", description: "The most that a day may cost at one provider; 0 is no cap" }),
  capDay: amount({ default: "0", description: "The most that a day may cost; 0 is no cap" }),
  credit: amount({
    default: "0",
    description:
      "How far this node works for anybody, strangers too, beyond what is paid: what they can get for nothing",
  }),
  maxCredit: amount({
    default: "0",
    description: "The most credit for those who paid before: a tenth of what they have paid, up to this",
  }),
  debtAfterMs: duration({
    default: "10m",
    min: 1000,
    max: 30 * 86_400_000,
    description: "When work on credit that is not paid becomes a debt: its payer has no credit until all of it is paid",
  }),
  exitDelayMs: duration({
    default: "24h",
    min: 3_600_000,
    max: 30 * 86_400_000,
    description:
      "How long a payer's exit takes: of channels that this node opens, and the least of those that it takes",
  }),
  claimAt: amount({
    default: "0",
    description:
      "In a token other than the chain's coin, what must be unclaimed for a claim; coins are claimed at 20 times its gas",
  }),
  claimEveryMs: duration({
    default: "1m",
    min: 1000,
    max: 3_600_000,
    description: "How often channels are looked at: for deposits, for payers that leave, for what is worth claiming",
  }),
});

/** What this node wants for its work. */
export const prices = z.strictObject({
  token: contract("The ERC-20 to be paid in; the chain's own coin when empty"),
  gibHour: amount({ default: "0", description: "For a GiB kept for an hour" }),
  gibWritten: amount({ default: "0", description: "For a GiB that comes in: shards and inputs of tasks" }),
  gibRead: amount({ default: "0", description: "For a GiB that goes out: shards and outputs of tasks" }),
  megaInstructions: amount({ default: "0", description: "For a million instructions of a plugin" }),
  cpuSecond: amount({
    default: "0",
    description: "For a second in a plugin: the most that its instructions cost, and the price of what is not metered",
  }),
  gpuSecond: amount({ default: "0", description: "For a second of GPU" }),
  minimum: amount({ default: "0", description: "The least that a task or storage operation costs" }),
  offerMs: duration({
    default: "1h",
    min: 10_000,
    max: 30 * 86_400_000,
    description: "How long a price holds that was offered or quoted",
  }),
});
