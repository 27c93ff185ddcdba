/**
 * Kill -9 at random moments of a paid task, a claim, a close, a top up, an exit and a withdrawal, against a requester and a provider that are processes of their own, on a
 * real chain. After each kill both must work with each other again, and nobody may have lost anything. Throws at the first thing that does not hold.
 *
 *     npm run chaos:payments -- [kills, 30] [seed, 1]
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { type LocalChain, startLocalChain } from "../../src/payments/local-chain.ts";
import { get, type NodeProcess, post, scratch, startNode, until } from "../e2e/harness.ts";
import { channelsOf, ETHER } from "../e2e/paid-swarm.ts";
import { randomOf } from "../payments/market.ts";
import type { TestScope } from "../testing.ts";

export const OPERATIONS = ["sync", "async", "claim", "close", "topup", "exit", "withdraw"] as const;
export type Operation = typeof OPERATIONS[number];
const VICTIMS = ["requester", "provider", "both"] as const;
type Victim = typeof VICTIMS[number];

/** Every task costs this, however long it runs. */
const PRICE = 1000n;
const CREDIT = { base: 2500n, most: 500n };
const DEPOSIT = 1_000_000n;
const TOP_UP = 5000n;
const TRIES = 40;
/** How long a payer's exit takes, in seconds. */
const EXIT_DELAY = 3600;
/** Where the provider sends what it withdraws, and nobody else anything. */
const VAULT = `0x${"77".repeat(20)}`;

export interface PaymentChaosOptions {
  readonly kills: number;
  readonly seed: number;
  readonly log?: (line: string) => void;
}

export interface PaymentChaosReport {
  readonly kills: Readonly<Record<Operation, number>>;
  /** How often the operation was over before the kill came. */
  readonly late: number;
  readonly channels: number;
  /** Tasks by id: asked for, known to have succeeded, and charged. */
  readonly asked: number;
  readonly succeeded: number;
  readonly charged: number;
  /** The most that was ever charged and not paid on one channel, and the credit for it. */
  readonly worstUnpaid: bigint;
  readonly paid: bigint;
}

interface Channel {
  readonly channelId: string;
  readonly role: string;
  readonly deposit: string;
  readonly charged: string;
  readonly paid: string;
  readonly claimed: string;
  readonly state: string;
}

interface Summary {
  readonly credit: string;
}

/** Plays it. */
export async function playPaymentChaos(t: TestScope, options: PaymentChaosOptions): Promise<PaymentChaosReport> {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const world = new World(t, chain, options);
  await world.start();
  return await world.play();
}

class World {
  readonly #t: TestScope;
  readonly #chain: LocalChain;
  readonly #options: PaymentChaosOptions;
  readonly #random: () => number;
  readonly #folder: string;
  #provider!: NodeProcess;
  #requester!: NodeProcess;
  /** The provider's address, which it has again after each start. */
  #target = "";
  /** How long each operation takes when nobody is killed. */
  readonly #typicalMs = new Map<Operation, number>();
  readonly #asked = new Set<string>();
  readonly #succeeded = new Set<string>();
  readonly #kills = { sync: 0, async: 0, claim: 0, close: 0, topup: 0, exit: 0, withdraw: 0 };
  #late = 0;
  #worstUnpaid = 0n;
  /** The channel whose exit is seen through. */
  #leaving: string | undefined;
  /** By channel: the newest voucher that each side was seen to have. */
  readonly #vouchers = new Map<string, { signed: bigint; received: bigint }>();

  constructor(t: TestScope, chain: LocalChain, options: PaymentChaosOptions) {
    this.#t = t;
    this.#chain = chain;
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#folder = scratch(t);
  }

  async start(): Promise<void> {
    this.#provider = await this.#startProvider();
    this.#target = this.#provider.rpc;
    this.#requester = await this.#startRequester();
    for (const { nodeId } of [this.#provider, this.#requester]) {
      await this.#chain.fund(nodeId as `0x${string}`, 10n * ETHER);
    }
  }

  async play(): Promise<PaymentChaosReport> {
    const { kills, log = () => {} } = this.#options;
    // The first task opens the channel, which takes longer than any other.
    await this.#task("warm-up");
    for (const operation of OPERATIONS) {
      const startedAt = performance.now();
      await this.#perform(operation, `first-${operation}`);
      this.#typicalMs.set(operation, performance.now() - startedAt);
      await this.#check(`first-${operation}`);
    }
    for (let round = 0; round < kills; round++) {
      const operation = OPERATIONS[round % OPERATIONS.length]!;
      const victim = VICTIMS[Math.floor(this.#random() * VICTIMS.length)]!;
      const afterMs = this.#random() * 1.2 * this.#typicalMs.get(operation)!;
      const name = `${round}-${operation}`;
      log(`${name}: kill -9 of ${victim} after ${afterMs.toFixed(1)} ms`);
      await this.#strike(operation, { victim, afterMs, name });
      this.#kills[operation]++;
      await this.#check(name);
    }
    await this.#reachCap();
    return await this.#settle();
  }

  /** Begins an operation, kills somebody in its middle, and sees it through when everybody is back. */
  async #strike(
    operation: Operation,
    { victim, afterMs, name }: { readonly victim: Victim; readonly afterMs: number; readonly name: string },
  ): Promise<void> {
    let over = false;
    const before = await this.#deposits();
    // A task that runs into the end of its channel, half of the times.
    const beside = operation === "close" && this.#random() < 0.5
      ? this.#tryTask(`${name}-beside`).catch(() => {})
      : undefined;
    const first = this.#try(operation, name).catch(() => {}).finally(() => over = true);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    if (over) this.#late++;
    const hit = (side: Victim) => victim === side || victim === "both";
    await Promise.all([
      hit("provider") && this.#provider.stop("SIGKILL"),
      hit("requester") && this.#requester.stop("SIGKILL"),
    ]);
    await Promise.all([
      hit("provider") && this.#startProvider().then((node) => this.#provider = node),
      hit("requester") && this.#startRequester().then((node) => this.#requester = node),
    ]);
    await Promise.all([first, beside]);
    if (operation === "topup") {
      // It is not asked for again: it may be under way. Done once at most, and both sides find the same.
      await this.#task(`${name}-after`);
      await this.#sameDeposits(before);
    } else {
      await this.#perform(operation, name);
    }
  }

  /** One attempt. */
  async #try(operation: Operation, name: string): Promise<void> {
    switch (operation) {
      case "sync":
        return await this.#tryTask(name);
      case "async":
        return await this.#tryAsync(name);
      case "claim":
        return await this.#post(this.#provider, "/v1/payments/claim");
      case "close": {
        const open = (await this.#channels(this.#provider)).find(({ state }) => state === "open");
        if (open === undefined) return;
        return await this.#post(this.#provider, `/v1/payments/channels/${open.channelId}/close`);
      }
      case "topup": {
        const open = (await this.#channels(this.#requester)).find(({ state }) => state === "open");
        if (open === undefined) throw new Error("No channel is open");
        return await this.#post(this.#requester, `/v1/payments/channels/${open.channelId}/topup`, {
          amount: String(TOP_UP),
        });
      }
      case "exit":
        return await this.#tryExit();
      case "withdraw": {
        const { credit } = await this.#summary(this.#provider);
        if (credit === "0") return;
        return await this.#post(this.#provider, "/v1/payments/withdraw", { to: VAULT });
      }
    }
  }

  /** Announces the end of the open channel, or goes on with one that was announced; ends it once its provider has claimed. */
  async #tryExit(): Promise<void> {
    const spent = await this.#channels(this.#requester);
    this.#leaving ??= spent.find(isOpen)?.channelId;
    const stateNow = async () => {
      const channels = await this.#channels(this.#requester);
      return channels.find(({ channelId }) => channelId === this.#leaving)?.state;
    };
    if (await stateNow() === "closed") return;
    const path = `/v1/payments/channels/${this.#leaving}/exit`;
    // One that was announced before a kill is refused, since its time has not come, unless the announcement was lost.
    await this.#post(this.#requester, path).catch((error: Error) => {
      if (!/can be ended from|has ended already/.test(error.message)) throw error;
    });
    if (await stateNow() === "closed") return;
    // A provider is back within the delay: what it has it claims by itself.
    await until(async () => {
      const earned = (await this.#channels(this.#provider)).find(({ channelId }) => channelId === this.#leaving);
      return earned === undefined || (earned.claimed === earned.paid && earned.state !== "open") || undefined;
    });
    await this.#chain.rpc("evm_increaseTime", [EXIT_DELAY + 1]);
    await this.#chain.rpc("anvil_mine", ["0x1"]);
    await this.#post(this.#requester, path);
  }

  /** As often as it takes, and looks at what came of it. */
  async #perform(operation: Operation, name: string): Promise<void> {
    const open = operation === "close" ? (await this.#channels(this.#provider)).find(isOpen) : undefined;
    if (operation === "sync") return await this.#task(name);
    await this.#again(() => this.#try(operation, name));
    if (operation === "exit") this.#leaving = undefined;
    else if (operation === "withdraw") {
      // Another transaction of it may be under way from before a kill: it takes the same money, not more.
      await until(async () => (await this.#summary(this.#provider)).credit === "0" || undefined);
    } else if (operation === "claim") {
      // A voucher for what was owed may come behind the claim.
      await until(async () => {
        const isClaimed = (await this.#channels(this.#provider)).every((one) =>
          !isOpen(one) || one.claimed === one.paid
        );
        return isClaimed || void await this.#post(this.#provider, "/v1/payments/claim");
      });
    } else if (operation === "close" && open !== undefined) {
      await until(async () => {
        const now = (await this.#channels(this.#provider)).find(({ channelId }) => channelId === open.channelId);
        return now?.state === "closed" || undefined;
      });
    }
  }

  /** Runs a task until it succeeds, under the same id. */
  async #task(id: string): Promise<void> {
    await this.#again(() => this.#tryTask(id));
  }

  async #tryTask(id: string): Promise<void> {
    this.#asked.add(id);
    const { output } = await this.#json<{ output: string }>(this.#requester, "/v1/tasks/run", {
      ...this.#taskJson(id),
    });
    assert.equal(output, "world");
    this.#succeeded.add(id);
  }

  async #tryAsync(id: string): Promise<void> {
    this.#asked.add(id);
    await this.#json(this.#requester, "/v1/tasks", this.#taskJson(id));
    await until(async () => {
      const { rest, child } = this.#requester;
      if (child.exitCode !== null || child.signalCode !== null) throw new Error("The requester was killed");
      const { state } = await get<{ state: string }>(`${rest}/v1/tasks/${id}`);
      if (state === "failed") throw new Error(`Task ${id} failed`);
      return state === "succeeded" || undefined;
    });
    this.#succeeded.add(id);
  }

  #taskJson(id: string) {
    return { id, plugin: "demo", function: "greet", input: "hello", target: this.#target };
  }

  async #again(work: () => Promise<unknown>): Promise<void> {
    let last: unknown;
    for (let tries = 0; tries < TRIES; tries++) {
      try {
        await work();
        return;
      } catch (error) {
        last = error;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
    throw last;
  }

  async #post(node: NodeProcess, path: string, body: unknown = {}): Promise<void> {
    await this.#json(node, path, body);
  }

  async #json<T>(node: NodeProcess, path: string, body: unknown): Promise<T> {
    const { status, text } = await post(`${node.rest}${path}`, body);
    if (status >= 300) throw new Error(`${path} answered ${status}: ${text}`);
    return JSON.parse(text) as T;
  }

  #channels(node: NodeProcess): Promise<readonly Channel[]> {
    return channelsOf(node) as Promise<readonly unknown[]> as Promise<readonly Channel[]>;
  }

  #summary({ rest }: NodeProcess): Promise<Summary> {
    return get<Summary>(`${rest}/v1/payments`);
  }

  async #deposits(): Promise<ReadonlyMap<string, bigint>> {
    const channels = await this.#channels(this.#requester);
    return new Map(channels.map(({ channelId, deposit }) => [channelId, BigInt(deposit)]));
  }

  /** Waits until both sides know the same deposit of each open channel, which is what it was or what was added to that once. */
  async #sameDeposits(before: ReadonlyMap<string, bigint>): Promise<void> {
    await until(async () => {
      const [spent, earned] = await this.#both();
      const pairs = earned.filter(isOpen).map((own) => [own, spent.find((other) => sameId(own, other))] as const);
      return pairs.every(([own, other]) => own.deposit === other?.deposit) || undefined;
    });
    for (const [channelId, deposit] of await this.#deposits()) {
      const added = deposit - (before.get(channelId) ?? deposit);
      assert.ok(added === 0n || added === TOP_UP, `${channelId}: ${added} were added, not ${TOP_UP} once`);
    }
  }

  async #both() {
    return await Promise.all([this.#channels(this.#requester), this.#channels(this.#provider)]);
  }

  /** Runs one more task, waits until the books are equal, and looks at what must hold. */
  async #check(name: string): Promise<void> {
    await this.#task(`${name}-probe`);
    const [spent, earned] = await until(async () => {
      const [spent, earned] = await this.#both();
      const isEqual = earned.filter(isOpen).every((own) => {
        const other = spent.find((one) => sameId(own, one));
        return other?.charged === own.charged && other.paid === own.paid && isOpen(other);
      });
      return isEqual ? [spent, earned] as const : undefined;
    });
    assert.equal(earned.filter(isOpen).length, 1, JSON.stringify(earned));
    for (const own of earned) {
      const other = spent.find((one) => sameId(own, one));
      assert.ok(other !== undefined, `The requester forgot channel ${own.channelId}`);
      const [charged, received, signed] = [BigInt(own.charged), BigInt(own.paid), BigInt(other.paid)];
      const credit = CREDIT.base + (CREDIT.most < received / 10n ? CREDIT.most : received / 10n);
      const unpaid = charged - received;
      assert.ok(unpaid <= credit, `${unpaid} are unpaid on ${own.channelId}, and the credit is ${credit}`);
      if (unpaid > this.#worstUnpaid) this.#worstUnpaid = unpaid;
      assert.ok(received <= signed, `The requester forgot a voucher over ${received}: it knows of ${signed}`);
      assert.ok(signed <= BigInt(other.deposit), `Vouchers over ${signed} pass the deposit of ${other.deposit}`);
      assert.ok(BigInt(own.claimed) <= received, `More is claimed than the vouchers are over: ${JSON.stringify(own)}`);
      const seen = this.#vouchers.get(own.channelId);
      assert.ok(seen === undefined || seen.received <= received, `The provider lost a voucher over ${seen?.received}`);
      assert.ok(seen === undefined || seen.signed <= signed, `The requester lost a voucher over ${seen?.signed}`);
      this.#vouchers.set(own.channelId, { signed, received });
    }
    const charged = sum(earned, "charged");
    const least = PRICE * BigInt(this.#succeeded.size);
    assert.ok(charged >= least, `${charged} were charged for ${this.#succeeded.size} tasks: less than ${least}`);
    const most = PRICE * BigInt(this.#asked.size);
    assert.ok(charged <= most, `${charged} were charged for ${this.#asked.size} tasks: more than ${most}`);
    const { totals } = await get<{ totals: { amount: string; direction: string }[] }>(
      `${this.#requester.rest}/v1/payments/totals`,
    );
    // What was paid ahead on a channel that has ended is spent, too.
    const known = sum(spent.filter(isOpen), "charged") + sum(spent.filter((one) => !isOpen(one)), "paid");
    assert.equal(sum(totals.filter(({ direction }) => direction === "spent"), "amount"), known, "sum of the days");
  }

  /** Starts the requester again with a cap that leaves room for two tasks: what it spent before the kills counts. */
  async #reachCap(): Promise<void> {
    const { totals } = await get<{ totals: { amount: string; day: string }[] }>(
      `${this.#requester.rest}/v1/payments/totals`,
    );
    const cap = sum(totals, "amount") + 2n * PRICE + PRICE / 2n;
    await this.#requester.stop("SIGKILL");
    this.#requester = await this.#startRequester({ capDay: String(cap) });
    let done = 0;
    let refusal = "";
    while (refusal === "" && done < 5) {
      const { status, text } = await post(`${this.#requester.rest}/v1/tasks/run`, this.#taskJson(`cap-${done}`));
      if (status === 200) this.#asked.add(`cap-${done++}`);
      else refusal = text;
    }
    assert.match(refusal, /payments\.capDay/);
    assert.equal(done, 2, "tasks within the cap of the day");
  }

  /** Ends the channel, and finds every voucher on the chain. */
  async #settle(): Promise<PaymentChaosReport> {
    await this.#perform("close", "end");
    const earned = await this.#channels(this.#provider);
    const { credit } = await this.#summary(this.#provider);
    const withdrawn = BigInt(await this.#chain.rpc<string>("eth_getBalance", [VAULT, "latest"]));
    const paid = sum(earned, "paid");
    assert.equal(
      BigInt(credit) + withdrawn,
      paid,
      "what the contract holds for the provider, and what it withdrew, is what its vouchers are over",
    );
    const charged = sum(earned, "charged");
    const back = BigInt((await this.#summary(this.#requester)).credit);
    const deposits = sum(earned, "deposit");
    assert.equal(back, deposits - paid, "what the contract holds for the requester is the rest of its deposits");
    return {
      kills: this.#kills,
      late: this.#late,
      channels: earned.length,
      asked: this.#asked.size,
      succeeded: this.#succeeded.size,
      charged: Number(charged / PRICE),
      worstUnpaid: this.#worstUnpaid,
      paid,
    };
  }

  #startProvider(): Promise<NodeProcess> {
    return startNode(this.#t, {
      dataDir: join(this.#folder, "provider"),
      config: {
        payments: { ...this.#common(), credit: String(CREDIT.base), maxCredit: String(CREDIT.most) },
        prices: { minimum: String(PRICE) },
      },
      args: this.#target === "" ? [] : ["--rpc-listen", this.#target],
    });
  }

  #startRequester(more: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
    return startNode(this.#t, {
      dataDir: join(this.#folder, "requester"),
      config: {
        requester: { providers: [this.#target] },
        payments: { ...this.#common(), deposit: String(DEPOSIT), capTask: String(PRICE), ...more },
      },
    });
  }

  #common() {
    const { url, chainId, channels, registry } = this.#chain;
    const onChain = { rpcUrls: [url], chainId, channels, registry, confirmations: 0, maxHeadAgeMs: 0 };
    return { ...onChain, claimEveryMs: 1000, exitDelayMs: EXIT_DELAY * 1000 };
  }
}

function isOpen({ state }: Channel): boolean {
  return state === "open";
}

function sameId(one: Channel, other: Channel): boolean {
  return one.channelId === other.channelId;
}

function sum<Key extends string>(rows: readonly Readonly<Record<Key, string>>[], key: Key): bigint {
  return rows.reduce((total, row) => total + BigInt(row[key]), 0n);
}

if (import.meta.main) {
  const [kills = "30", seed = "1"] = process.argv.slice(2);
  const cleanups: (() => unknown)[] = [];
  const startedAt = performance.now();
  try {
    const report = await playPaymentChaos({ after: (cleanup) => void cleanups.push(cleanup) }, {
      kills: Number(kills),
      seed: Number(seed),
      log: console.log,
    });
    const counts = OPERATIONS.map((operation) => `${report.kills[operation]} in ${operation}`).join(", ");
    console.log(
      `kill -9: ${counts}; ${report.late} of them came after its end\n` +
        `${report.channels} channels; ${report.asked} tasks asked for, ${report.succeeded} seen to succeed, ${report.charged} charged\n` +
        `vouchers over ${report.paid} wei, all of them on the chain; at most ${report.worstUnpaid} wei unpaid at a time\n` +
        `in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
    );
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}
