/**
 * Real nodes that are killed, again and again, while they put, read, repair, renew, remove, expire and compact, one of which loses shards whenever it is
 * killed, so that others move away from it; then it is proven that nothing was lost that was acknowledged and nothing is left that nobody wants. What
 * is done and who is killed when follows from the seed; where exactly a process is when it dies also depends on the machine.
 */
import { dataPaths } from "../../src/config/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { run } from "../e2e/harness.ts";
import { damageShards } from "./damage.ts";
import { FileLoad } from "./file-load.ts";
import { Place } from "./place.ts";
import { Random, sleep } from "./random.ts";
import { ShardLoad } from "./shard-load.ts";

export interface ChaosOptions {
  readonly folder: string;
  readonly kills: number;
  readonly seed: number;
  /** No more kills are begun so long after all nodes are up, in milliseconds, once each kind of node was killed. */
  readonly maxMs: number;
  readonly say?: (line: string) => void;
}

export interface ChaosSummary {
  readonly seed: number;
  readonly seconds: number;
  readonly kills: Readonly<Record<"requester" | "provider" | "atStart", number>>;
  readonly files: Readonly<Record<string, number>>;
  readonly shards: Readonly<Record<string, number>>;
  /** How many times the books of a shard store were proven right after a kill. */
  readonly bookChecks: number;
  /** Shards of files that the first provider lost while it was down. */
  readonly damaged: number;
  /** Files and shards that were acknowledged and wanted at the end, and were all found and read. */
  readonly filesAtEnd: number;
  readonly shardsAtEnd: number;
  /** What was lost, wrong or left over; empty when all is well. */
  readonly violations: readonly string[];
}

/** Providers of files; one more keeps no files, and drops shards so soon after their leases that there are always some ending. */
const PROVIDERS = 4;
/** The provider that loses shards. */
const LOSER = 0;
const FILE_LANES = 2;
const SHARD_LANES = 2;
/** How long a node may take for whatever is waited for. */
const PATIENCE_MS = 120_000;
/** A kill does not wait longer than this for the load to get on. */
const STEPS_MS = 3000;

const STORAGE = { minFreeBytes: 0, expiryEveryMs: 300, compactBytes: 2 ** 20 };
/** Long enough that no wanted file's lease ends while its requester lies dead on a slow machine. */
const GRACE_MS = 600_000;
const SHORT_GRACE_MS = 500;
/** Leases are short and audits frequent, so that there are always some under way. */
const FILES = {
  leaseMs: 20_000,
  auditIntervalMs: 2000,
  lostAfterAudits: 2,
  uploadTtlMs: 15_000,
  stallMs: 10_000,
  // A provider that lost shards is trusted again soon, and gets some to lose.
  scoreHalfLifeMs: 60_000,
};
/** How long a provider may be silent, by a draw at each start: shards of one that is down are lost, or wait for it and show what it lost. */
const LOST_AFTER_MS = [1000, 60_000];

export async function runChaos(options: ChaosOptions): Promise<ChaosSummary> {
  const chaos = new Chaos(options);
  try {
    return await chaos.run();
  } finally {
    await chaos.close();
  }
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #startedAt = performance.now();
  readonly #providers: readonly Place[];
  readonly #requester: Place;
  readonly #files: FileLoad;
  readonly #shards: readonly ShardLoad[];
  readonly #violations: string[] = [];
  readonly #kills = { requester: 0, provider: 0, atStart: 0 };
  /** What the store of the one that loses shards calls them. */
  readonly #damaged = new Set<string>();
  readonly #damage: Random;
  #bookChecks = 0;
  #steps = 0;

  constructor(options: ChaosOptions) {
    const { folder, seed } = options;
    this.#options = options;
    this.#damage = new Random(seed, "damage");
    const patience = new Random(seed, "patience");
    this.#providers = range(PROVIDERS + 1).map((i) => {
      const graceMs = i === PROVIDERS ? SHORT_GRACE_MS : GRACE_MS;
      return new Place({ folder, name: `provider-${i + 1}`, config: () => ({ storage: { ...STORAGE, graceMs } }) });
    });
    const ofFiles = this.#providers.slice(0, PROVIDERS);
    this.#requester = new Place({
      folder,
      name: "requester",
      config: () => ({
        files: { ...FILES, lostAfterMs: patience.pick(LOST_AFTER_MS) },
        requester: { providers: ofFiles.map(({ target }) => target) },
      }),
    });
    // What the loser lost shows when its shards wait for it.
    this.#files = new FileLoad(this.#requester, ofFiles.filter((_, place) => place !== LOSER));
    this.#shards = this.#providers.map((provider) => new ShardLoad(provider));
  }

  async run(): Promise<ChaosSummary> {
    const { seed, kills } = this.#options;
    await Promise.all(this.#providers.map((place) => place.start()));
    await this.#startRequester();
    const step = () => void this.#steps++;
    const lanes = [
      ...range(FILE_LANES).map((lane) => this.#files.run(new Random(seed, `file ${lane}`), step)),
      ...this.#shards.flatMap((load, place) =>
        range(place === PROVIDERS ? SHARD_LANES : 1).map((lane) =>
          load.run(new Random(seed, `shard ${place} ${lane}`), step)
        )
      ),
    ];
    const plan = new Random(seed, "kills");
    const endAt = performance.now() + this.#options.maxMs;
    const isEnough = () => performance.now() >= endAt && this.#kills.requester > 0 && this.#kills.provider > 0;
    while (this.#killed < kills && !isEnough()) await this.#round(plan);
    for (const load of [this.#files, ...this.#shards]) load.stop();
    await Promise.all(lanes);
    this.#say("All nodes are up; what was acknowledged is read back");
    const filesAtEnd = this.#files.acknowledged;
    const shardsAtEnd = this.#shards.reduce((sum, load) => sum + load.acknowledged, 0);
    await this.#files.verify();
    await Promise.all(this.#shards.map((load) => load.verify({ readAll: true })));
    await this.#until("leases that ended are gone", async () => {
      return await this.#shards[PROVIDERS]!.hasExpired();
    });
    this.#say("Everything is removed; nothing may be left");
    await this.#removeAll();
    return {
      seed,
      seconds: Math.round(this.#seconds),
      kills: this.#kills,
      files: this.#files.counts,
      shards: this.#sumOfShards(),
      bookChecks: this.#bookChecks,
      damaged: this.#damaged.size,
      filesAtEnd,
      shardsAtEnd,
      violations: this.#allViolations(),
    };
  }

  async close(): Promise<void> {
    for (const load of [this.#files, ...this.#shards]) load.stop();
    await Promise.all([this.#requester, ...this.#providers].map((place) => place.kill()));
    await Promise.all(this.#shards.map((load) => load.close()));
  }

  get #killed(): number {
    return this.#kills.requester + this.#kills.provider + this.#kills.atStart;
  }

  get #seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /** Waits for a point of the work, kills there, and starts what was killed again. */
  async #round(plan: Random): Promise<void> {
    const who = plan.weighted({ requester: 45, provider: 45, both: 10 });
    const provider = plan.chance(0.25) ? LOSER : plan.int(0, PROVIDERS);
    const steps = plan.int(1, 20);
    const delayMs = plan.int(0, 100);
    const checksBooks = plan.chance(0.3);
    const staysDownMs = plan.chance(0.4) ? plan.int(300, 2500) : 0;
    const againAt = plan.chance(0.2) ? 0.1 + plan.next() : undefined;
    const wanted = this.#steps + steps;
    const giveUpAt = performance.now() + STEPS_MS;
    while (this.#steps < wanted && performance.now() < giveUpAt) await sleep(2);
    await sleep(delayMs);
    const down = [
      ...who === "provider" ? [] : [this.#requester],
      ...who === "requester" ? [] : [this.#providers[provider]!],
    ];
    await Promise.all(down.map((place) => place.kill()));
    for (const place of down) this.#kills[place === this.#requester ? "requester" : "provider"]++;
    this.#say(`kill ${this.#killed}: ${down.map(({ name }) => name).join(" and ")}`);
    await Promise.all(
      down.map((place) =>
        place === this.#requester
          ? this.#startRequester(againAt)
          : this.#restartProvider(provider, { staysDownMs, checksBooks, againAt })
      ),
    );
  }

  async #startRequester(againAt?: number): Promise<void> {
    if (againAt !== undefined) await this.#killAtStart(this.#requester, againAt);
    await this.#requester.start();
    void this.#files.watch(this.#requester.node!.rest);
  }

  async #restartProvider(
    place: number,
    { staysDownMs, checksBooks, againAt }: {
      readonly staysDownMs: number;
      readonly checksBooks: boolean;
      readonly againAt: number | undefined;
    },
  ): Promise<void> {
    const provider = this.#providers[place]!;
    if (checksBooks) await this.#checkBooks(provider);
    if (place === LOSER) await this.#damageShards();
    await sleep(staysDownMs);
    if (againAt !== undefined) await this.#killAtStart(provider, againAt);
    await provider.start();
    await this.#shards[place]!.verify();
  }

  async #killAtStart(place: Place, at: number): Promise<void> {
    await place.start(at);
    this.#kills.atStart++;
  }

  /** The shard store as the kill left it, opened as doctor opens it. */
  async #checkBooks({ name, dataDir }: Place): Promise<void> {
    const store = await openShardStore(dataPaths(dataDir).shards, { minFreeBytes: 0 });
    const { problems } = await store.check({ repair: false, readBodies: true });
    await store.close();
    this.#bookChecks++;
    for (const { message } of problems) {
      const [, shard = ""] = /^Shard (\S+) is damaged/.exec(message) ?? [];
      const isMeant = name === this.#providers[LOSER]!.name && this.#damaged.has(shard);
      if (!isMeant) this.#violations.push(`${name} after a kill: ${message}`);
    }
  }

  async #damageShards(): Promise<void> {
    const { dataDir, name } = this.#providers[LOSER]!;
    const except = this.#shards[LOSER]!.owner;
    const lost = await damageShards(dataDir, { except, random: this.#damage });
    for (const shard of lost) this.#damaged.add(shard);
    if (lost.length > 0) this.#say(`${name} has lost ${lost.length} shards`);
  }

  /** Frees everything, and proves that no byte is left: not in the accounts, not in the databases, not for doctor. */
  async #removeAll(): Promise<void> {
    await this.#until("no file is left", async () => await this.#files.removeAll() === 0);
    await Promise.all(this.#shards.map((load) => load.removeAll()));
    await this.#until("providers keep nothing", async () => {
      const all = await Promise.all(this.#providers.map(async ({ node }) => {
        const usage = await (await fetch(`${node!.rest}/v1/shards/usage`)).json() as Record<string, number>;
        return usage["shards"] === 0 && usage["bytes"] === 0 && usage["uploadBytes"] === 0;
      }));
      return all.every(Boolean);
    });
    await Promise.all([this.#requester, ...this.#providers].map((place) => place.stop()));
    this.#say("All nodes have stopped; doctor looks for what is left");
    await Promise.all([this.#requester, ...this.#providers].map(async ({ name, dataDir }) => {
      const ended = await run(["doctor", "--data-dir", dataDir, "--read-shards", "--json"]);
      const { checks } = JSON.parse(ended.stdout) as {
        checks: { name: string; verdict: string; detail: string }[];
      };
      for (const check of checks) {
        if (["shards", "database", "files"].includes(check.name) && check.verdict !== "ok") {
          this.#violations.push(`${name}: doctor says ${check.detail}`);
        }
      }
      const store = await openShardStore(dataPaths(dataDir).shards, { minFreeBytes: 0 });
      await store.shards.settle();
      const { tables } = store.shards;
      for (const part of ["rows", "uploads", "expiry", "bodies", "trees", "dead"] as const) {
        const left = await tables[part].keys({ limit: 1000 });
        if (left.length > 0) this.#violations.push(`${name}: ${left.length} keys of ${part} are left, as ${left[0]}`);
      }
      await store.close();
    }));
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (performance.now() < giveUpAt) {
      if (await holds()) return;
      await sleep(100);
    }
    this.#violations.push(`Not so within ${PATIENCE_MS / 1000} s: ${what}`);
  }

  #allViolations(): string[] {
    return [...this.#violations, ...this.#files.violations, ...this.#shards.flatMap(({ violations }) => violations)];
  }

  #sumOfShards(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const { counts } of this.#shards) {
      for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
    }
    return sum;
  }

  #say(line: string): void {
    const bad = this.#allViolations().length;
    this.#options.say?.(`${this.#seconds.toFixed(1)} s  ${line}${bad === 0 ? "" : `  (${bad} violations)`}`);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
