/**
 * A market on a fake clock: many requesters and providers, some of whom cheat, crash at any step, or lose messages, with the real books of both
 * sides ({@link Spendings}, {@link Earnings}). Tells what was lost to whom, and throws when anybody honest lost more than it agreed to.
 *
 *     node test/payments/market.ts [sessions, 100000] [seed]
 */
import { createHash } from "node:crypto";
import process from "node:process";
import {
  type ChannelView,
  type Clock,
  FREE_RATES,
  type Hex32,
  NodeError,
  type NodeId,
  type NodeKey,
  parseNodeId,
  type PaymentChange,
  type PaymentDesk,
  type PaymentStore,
  receiptDigest,
  type SignedAccount,
  silentLog,
  taskPrice,
  type Usage,
  wei,
} from "../../src/core/mod.ts";
import { Books, Budget, Earnings, Spendings, Totals } from "../../src/payments/mod.ts";
import type { Curve } from "../../src/payments/curve.ts";
import type { ChannelOnChain } from "../../src/payments/channel-on-chain.ts";

export type RequesterKind = "honest" | "sponge" | "leaver";
export type ProviderKind = "honest" | "greedy" | "padding" | "idle";

const RATES = { ...FREE_RATES, cpuSecond: wei(10n), minimum: wei(5n) };
const LIMITS = { timeoutMs: 3000, memoryBytes: 1 << 20, outputBytes: 0 };
/** The most that one task may cost: three seconds. */
const MAX_TASK = 30n;
const CAP_PEER = 500n;
const DEPOSIT = wei(2000n);
const TARGET = "provider:1";
const SETTLEMENT = { chainId: 1, channels: nodeIdOf(0xc0ffee) };

/** Numbers from a seed (mulberry32), so that a session that went wrong can be had again. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function nodeIdOf(n: number): NodeId {
  return parseNodeId(`0x${n.toString(16).padStart(40, "0")}`);
}

/** Signatures that cost nothing: they name their signer and cannot be moved to another digest. The real ones have tests of their own. */
function keyOf(nodeId: NodeId): NodeKey {
  const id = Buffer.from(nodeId.slice(2), "hex");
  const signDigest = (digest: Uint8Array) => {
    const mark = createHash("sha256").update(digest).update(id).digest();
    return Uint8Array.from(Buffer.concat([mark, id, Buffer.alloc(12), Buffer.from([27])]));
  };
  const key: NodeKey = { nodeId, sign: signDigest, signDigest, signingWith: () => key };
  return key;
}

const curve: Curve = {
  sign() {
    throw new NodeError("unimplemented", "Keys of the market sign by themselves");
  },
  recover(digest, signature) {
    const nodeId = parseNodeId(`0x${Buffer.from(signature.subarray(32, 52)).toString("hex")}`);
    if (Buffer.compare(keyOf(nodeId).signDigest(digest), signature) !== 0) {
      throw new NodeError("invalid_argument", "The signature is not one that any key makes");
    }
    return nodeId;
  },
};

class Killed extends Error {}

/** Starts again what was killed, once for all who find it so: two processes never share a disk. */
function onceAtATime(isDead: () => boolean, start: () => Promise<void>): () => Promise<void> {
  let starting: Promise<void> | undefined;
  return () => isDead() ? starting ??= start().finally(() => starting = undefined) : starting ?? Promise.resolve();
}

/** One process: what it has written stays, and after it was killed nothing that it still does has an effect. */
class Life implements PaymentStore {
  readonly #disk: Map<string, string>;
  readonly #mayDie: () => boolean;
  dead = false;

  constructor(disk: Map<string, string>, mayDie: () => boolean) {
    this.#disk = disk;
    this.#mayDie = mayDie;
  }

  /** A step at which the process may be killed. */
  step(): void {
    if (!this.dead && this.#mayDie()) this.dead = true;
    if (this.dead) throw new Killed();
  }

  entries(kind: string): Promise<[string, string][]> {
    const found = [...this.#disk].filter(([key]) => key.startsWith(`${kind}!`));
    return Promise.resolve(found.map(([key, text]) => [key.slice(kind.length + 1), text]));
  }

  async write(changes: readonly PaymentChange[]): Promise<void> {
    await Promise.resolve();
    this.step();
    for (const { kind, key, text } of changes) {
      if (text === undefined) this.#disk.delete(`${kind}!${key}`);
      else this.#disk.set(`${kind}!${key}`, text);
    }
    await Promise.resolve();
    this.step();
  }
}

export interface SessionResult {
  readonly requester: RequesterKind;
  readonly provider: ProviderKind;
  readonly kills: number;
  readonly lostMessages: number;
  /** What finished work was worth that the provider has no voucher for, and what the credit that it gave allows. */
  readonly unpaid: bigint;
  readonly credit: bigint;
  /** What vouchers pay beyond the results that arrived, and what is paid ahead of need by agreement. */
  readonly overpaid: bigint;
  readonly ahead: bigint;
  readonly earned: bigint;
}

/** Plays one session. Throws when somebody honest lost more than agreed, or books differ at the end. */
export async function playSession(seed: number): Promise<SessionResult> {
  const random = randomOf(seed);
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!;
  const requesterKind = random() < 0.7 ? "honest" : pick<RequesterKind>("sponge", "leaver");
  const providerKind = random() < 0.7 ? "honest" : pick<ProviderKind>("greedy", "padding", "idle");
  const killRate = pick(0, 0, 0.01, 0.05);
  const lossRate = pick(0, 0, 0.02, 0.1);
  const [base, most, window] = [wei(pick(0n, 25n, 60n)), wei(pick(0n, 50n)), wei(pick(0n, 40n))];
  let [calm, kills, lostMessages] = [false, 0, 0];

  const clock: Clock & { at: number } = { at: 1_800_000_000_000, now: () => clock.at };
  const [payer, payee] = [nodeIdOf(0x1000 + seed % 0xffff), nodeIdOf(0x9000_0000 + seed % 0xffff)];
  const chain = new Map<Hex32, ChannelOnChain>();
  const mayDie = () => {
    if (calm || random() >= killRate) return false;
    kills++;
    return true;
  };

  // The provider, which may be killed and started again.
  const sold = { disk: new Map<string, string>() };
  let provider: { readonly life: Life; readonly earnings: Earnings };
  const startProvider = onceAtATime(() => provider?.life.dead !== false, async () => {
    const life = new Life(sold.disk, mayDie);
    const books = new Books(life);
    const totals = new Totals(books, clock);
    const earnings = new Earnings({
      key: keyOf(payee),
      settlement: SETTLEMENT,
      costTable: 1,
      rates: RATES,
      credit: { base, max: most, debtAfterMs: 600_000 },
      limits: { defaultTimeoutMs: 3000, defaultOutputBytes: 0, maxInputBytes: 0 },
      offerMs: 3_600_000,
      minExitDelay: 0,
      store: life,
      chain: { channelOf: (id) => Promise.resolve(chain.get(id)), healthy: () => true },
      curve,
      clock,
      log: silentLog,
    }, { books, totals });
    await earnings.load();
    provider = { life, earnings };
  });

  // What goes between the two gets lost now and then, on the way there or back; a killed provider answers nothing.
  const lost = () => new NodeError("target_unreachable", "The message was lost");
  const wire = async <T>(call: () => T | Promise<T>): Promise<T> => {
    const loses = () => !calm && random() < lossRate && ++lostMessages > 0;
    if (loses()) throw lost();
    let answer: T;
    try {
      provider.life.step();
      answer = await call();
      provider.life.step();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      await startProvider();
      throw lost();
    }
    if (loses()) throw lost();
    return answer;
  };
  let extra = 0n;
  const said = (account: SignedAccount): SignedAccount => {
    if (extra === 0n) return account;
    const receipt = { ...account.receipt, charged: wei(account.receipt.charged + extra) };
    return { ...account, receipt, signature: keyOf(payee).signDigest(receiptDigest(SETTLEMENT, receipt)) };
  };
  /** What a killed requester still says does not arrive. */
  const deskOf = (life: Life): PaymentDesk => {
    const send = <T>(call: () => T | Promise<T>): Promise<T> => {
      if (life.dead) return Promise.reject(new Killed());
      return wire(call);
    };
    return {
      offer: () => send(() => provider.earnings.offer()),
      quote: (id, ctx) =>
        send(async () => {
          const { quote, account } = await provider.earnings.quote(id, ctx);
          return { quote, account: said(account) };
        }),
      pay: (voucher, signature, ctx) => send(async () => said(await provider.earnings.pay(voucher, signature, ctx))),
      account: (id, ctx) => send(async () => said(await provider.earnings.account(id, ctx))),
    };
  };

  // The requester, likewise.
  const bought = { disk: new Map<string, string>() };
  let requester: { readonly life: Life; readonly spendings: Spendings };
  const startRequester = onceAtATime(() => requester?.life.dead !== false, async () => {
    await requester?.spendings.close();
    const life = new Life(bought.disk, mayDie);
    const books = new Books(life);
    const totals = new Totals(books, clock);
    const budget = new Budget({ task: wei(0n), peer: wei(CAP_PEER), day: wei(0n) }, totals);
    const spendings: Spendings = new Spendings({
      key: keyOf(payer),
      settlement: SETTLEMENT,
      costTable: 1,
      window,
      deposit: DEPOSIT,
      store: life,
      curve,
      clock,
      log: silentLog,
      desk: () => deskOf(life),
      chain: { channelOf: (id) => Promise.resolve(chain.get(id)), healthy: () => true },
      openChannel: async ({ target, payee: provider, token, amount }) => {
        const channelId = `${provider.toLowerCase()}${String(chain.size + 1).padStart(24, "0")}` as Hex32;
        chain.set(channelId, {
          payer,
          signer: payer,
          token,
          deposit: amount,
          claimed: wei(0n),
          exitDelay: 3600,
          exitAt: 0,
        });
        await spendings.adopt(target, { channelId, provider, token, deposit: amount });
      },
    }, { books, totals, budget });
    await Promise.all([totals.load(life), spendings.load()]);
    requester = { life, spendings };
  });
  await startProvider();
  await startRequester();

  let received = 0n;
  let unanswered = 0n;
  const terms = { requester: payer, limits: LIMITS, inputBytes: 0 };
  const run = (): Promise<Usage> =>
    wire(async () => {
      const { life, earnings } = provider;
      if (providerKind === "idle" && random() < 0.5) throw lost();
      const reservation = earnings.tasks.reserve(terms);
      const usage: Usage = {
        wallMicros: Math.floor(random() * 3_000_000),
        inputBytes: 0,
        outputBytes: 0,
        instructions: 0,
      };
      life.step();
      await reservation.settle(usage);
      if (providerKind === "padding" && random() < 0.3) throw new NodeError("plugin_failed", "It did not work out");
      if (providerKind === "greedy" && random() < 0.3) extra += 1n + BigInt(Math.floor(random() * 50));
      return usage;
    });
  const task = async () => {
    const { life, spendings } = requester;
    const reservation = await spendings.tasks.reserve({ target: TARGET, limits: LIMITS, inputBytes: 0 });
    let usage: Usage;
    try {
      life.step();
      usage = await run();
      life.step();
    } catch (error) {
      unanswered++;
      if (!life.dead) reservation.release(error);
      throw error;
    }
    // From here on the result is the requester's, whatever happens to its process.
    received += taskPrice(RATES, usage, { limits: LIMITS });
    await reservation.commit(usage);
  };
  /** Whether a task went through; what is expected to go wrong does no harm. */
  const attempt = async (work: () => Promise<unknown>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof Killed) && !(error instanceof NodeError)) throw error;
      return false;
    } finally {
      await startRequester();
      await startProvider();
    }
  };

  const tasks = 1 + Math.floor(random() * 12);
  for (let i = 0; i < tasks; i++) {
    clock.at += Math.floor(random() * 60_000);
    if (requesterKind === "sponge" && i > 0) {
      // Takes results, and pays for nothing more.
      await attempt(async () => received += taskPrice(RATES, await run(), { limits: LIMITS }));
      continue;
    }
    if (requesterKind === "leaver" && random() < 0.2) {
      for (const [id, channel] of chain) chain.set(id, { ...channel, exitAt: Math.floor(clock.at / 1000) + 3600 });
      await attempt(() => provider.earnings.refreshAll());
    }
    const parallel = random() < 0.2 ? 3 : 1;
    await Promise.all(Array.from({ length: parallel }, () => attempt(task)));
  }

  // The faults are over: what is owed is paid, and books are compared.
  calm = true;
  await startRequester();
  await startProvider();
  if (requesterKind !== "sponge") {
    await attempt(() => requester.spendings.settleUp(TARGET));
    await attempt(() => requester.spendings.settleUp(TARGET));
  }
  const spent = new Map(requester!.spendings.views().map((view) => [view.channelId, view]));
  const earned = provider!.earnings.views();
  await requester!.spendings.close();

  // Who leaves, and comes back, has a channel for each time.
  const sum = (of: (view: ChannelView) => bigint) => earned.reduce((total, view) => total + of(view), 0n);
  const unpaidOf = ({ charged, paid }: ChannelView) => charged > paid ? charged - paid : 0n;
  const paid = sum((view) => view.paid);
  const result: SessionResult = {
    requester: requesterKind,
    provider: providerKind,
    kills,
    lostMessages,
    unpaid: sum(unpaidOf),
    credit: sum((view) => base + (most < view.paid / 10n ? most : view.paid / 10n)),
    overpaid: paid > received ? paid - received : 0n,
    // Three tasks at once, those whose answers never came (they may have been done), and the window: a tenth of a task at least.
    // A requester that was killed believes charges up to what it had signed or promised.
    ahead: (3n + unanswered) * MAX_TASK + (window > MAX_TASK / 10n ? window : MAX_TASK / 10n) +
      BigInt(kills) * (5n * MAX_TASK + window),
    earned: paid,
  };
  const fail = (why: string) =>
    new Error(
      `Session ${seed} (${requesterKind}, ${providerKind}, ${kills} kills): ${why}; ${JSON.stringify(result, text)}`,
    );
  if (providerKind === "honest" && result.unpaid > result.credit) {
    throw fail("finished work is unpaid beyond the credit");
  }
  if (requesterKind === "honest" && result.overpaid > result.ahead) throw fail("more was paid than was agreed to");
  if (paid > CAP_PEER) throw fail(`vouchers over ${paid} pass a cap`);
  for (const view of earned) {
    const own = spent.get(view.channelId);
    if (view.paid > DEPOSIT) throw fail(`vouchers over ${view.paid} pass the deposit`);
    if (own !== undefined && view.paid > own.paid) throw fail("the provider has a voucher that the requester forgot");
    if (providerKind !== "honest" || requesterKind !== "honest" || own === undefined) continue;
    if (own.state !== "open") throw fail(`the channel is ${own.state} although nobody cheated`);
    if (own.paid !== view.paid) throw fail(`a voucher over ${own.paid} was lost`);
    if (own.charged !== view.charged) throw fail(`the books differ: ${own.charged} and ${view.charged}`);
    if (unpaidOf(view) > 0n) throw fail("an honest requester owes something");
  }
  return result;
}

function text(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/** What sessions with one kind of requester and provider came to. */
export interface Losses {
  sessions: number;
  kills: number;
  lostMessages: number;
  earned: bigint;
  unpaid: bigint;
  worstUnpaid: bigint;
  overpaid: bigint;
  worstOverpaid: bigint;
}

/** Plays many sessions, and sums up what was lost to whom. */
export async function playMarket(sessions: number, firstSeed: number): Promise<Map<string, Losses>> {
  const all = new Map<string, Losses>();
  for (let seed = firstSeed; seed < firstSeed + sessions; seed++) {
    const one = await playSession(seed);
    const name = `${one.requester} requester, ${one.provider} provider`;
    const sum = all.get(name) ?? {
      sessions: 0,
      kills: 0,
      lostMessages: 0,
      earned: 0n,
      unpaid: 0n,
      worstUnpaid: 0n,
      overpaid: 0n,
      worstOverpaid: 0n,
    };
    sum.sessions++;
    sum.kills += one.kills;
    sum.lostMessages += one.lostMessages;
    sum.earned += one.earned;
    sum.unpaid += one.unpaid;
    sum.overpaid += one.overpaid;
    if (one.unpaid > sum.worstUnpaid) sum.worstUnpaid = one.unpaid;
    if (one.overpaid > sum.worstOverpaid) sum.worstOverpaid = one.overpaid;
    all.set(name, sum);
  }
  return all;
}

if (import.meta.main) {
  const [sessions = "100000", seed = "1"] = process.argv.slice(2);
  const startedAt = performance.now();
  const losses = await playMarket(Number(sessions), Number(seed));
  for (const [name, sum] of [...losses].sort(([a], [b]) => a.localeCompare(b))) {
    console.log(
      `${name.padEnd(36)} ${
        String(sum.sessions).padStart(6)
      } sessions, ${sum.kills} kills, ${sum.lostMessages} lost messages: earned ` +
        `${sum.earned}; provider unpaid ${sum.unpaid} (worst ${sum.worstUnpaid}), requester paid ${sum.overpaid} beyond its results (worst ${sum.worstOverpaid})`,
    );
  }
  console.log(`in ${((performance.now() - startedAt) / 1000).toFixed(1)} s; nobody honest lost more than agreed`);
}
