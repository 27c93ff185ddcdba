import { appendFileSync } from "node:fs";
import { bytesOf, type Random, sleep } from "./random.ts";
import type { Place } from "./place.ts";

export interface FileJson {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

interface HealthJson {
  readonly file: FileJson;
  readonly margin: number;
  readonly shards: readonly { readonly state: string; readonly provider: string; readonly lastError?: string }[];
}

interface Acknowledged {
  readonly id: string;
  readonly name: string;
}

/** The bytes of a file are in its name, so that also one whose put was never answered can be compared. */
const SIZES = [0, 1, 65_520, 65_521, 262_081, 700_000, 2_500_000, 5_000_000];
/** No more files than this are kept at a time. */
const MOST = 16;
/** How long a file may take to be whole again when all nodes are up. */
const VERIFY_MS = 60_000;
/** Between two things that a lane does: enough that starts are not starved. */
const REST_MS = 40;

function contentOf(name: string): Uint8Array<ArrayBuffer> {
  const [, number, size] = name.split("-").map(Number);
  return bytesOf(number!, size!);
}

/** Puts, reads, repairs and removes files through a requester that is killed at any time, and remembers what it acknowledged. */
export class FileLoad {
  readonly counts = { put: 0, resumed: 0, read: 0, removed: 0, repaired: 0, moved: 0, cutOff: 0 };
  readonly violations: string[] = [];
  readonly #requester: Place;
  readonly #missed: readonly Place[];
  readonly #kept = new Map<string, Acknowledged>();
  #next = 1;
  #stopped = false;

  /** Files are repaired more often while one of the `missed` nodes is down. */
  constructor(requester: Place, missed: readonly Place[]) {
    this.#requester = requester;
    this.#missed = missed;
  }

  get acknowledged(): number {
    return this.#kept.size;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Works until it is stopped; `step` is told of every answer. */
  async run(random: Random, step: () => void): Promise<void> {
    while (!this.#stopped) {
      const rest = this.#requester.node?.rest;
      if (rest === undefined) {
        await sleep(20);
        continue;
      }
      const what = this.#kept.size >= MOST
        ? "remove"
        : random.weighted({ put: 55, read: 20, remove: 15, care: this.#missed.some(({ node }) => !node) ? 40 : 5 });
      try {
        if (what === "put") await this.#put(rest, random);
        else await this.#withOne(random, (file) => this.#act(what, rest, file));
        step();
        await sleep(random.int(0, REST_MS));
      } catch {
        // The requester died or is too busy dying; what was asked for may have happened or not.
        this.counts.cutOff++;
        await sleep(10);
      }
    }
  }

  async #put(rest: string, random: Random): Promise<void> {
    const name = `f-${this.#next++}-${random.pick(SIZES)}`;
    const resumes = random.chance(0.5);
    const body = contentOf(name);
    try {
      await this.#putNow(rest, name, { body });
    } catch (error) {
      if (!resumes || this.#stopped) throw error;
      const again = await this.#requesterAgain();
      const { files } = await json<{ files: FileJson[] }>(`${again}/v1/files?prefix=${name}`);
      if (files[0]?.state !== "uploading") throw error;
      await this.#putNow(again, name, { body, resume: files[0].id });
      this.counts.resumed++;
    }
    this.counts.put++;
  }

  async #putNow(
    rest: string,
    name: string,
    { body, resume }: { body: Uint8Array<ArrayBuffer>; resume?: string },
  ): Promise<void> {
    const query = `policy=2%2B1${resume === undefined ? "" : `&resume=${resume}`}`;
    const { id } = await json<FileJson>(`${rest}/v1/files/${name}?${query}`, { method: "PUT", body });
    this.#kept.set(id, { id, name });
  }

  async #withOne(random: Random, act: (file: Acknowledged) => Promise<void>): Promise<void> {
    if (this.#kept.size === 0) return await sleep(5);
    await act(random.pick([...this.#kept.values()]));
  }

  async #act(what: "read" | "remove" | "care", rest: string, file: Acknowledged): Promise<void> {
    if (what === "remove") {
      // Before it is asked for: it may be gone although nobody answered.
      this.#kept.delete(file.id);
      const answer = await fetch(`${rest}/v1/files/${file.id}`, { method: "DELETE" });
      if (answer.ok) this.counts.removed++;
    } else if (what === "read") {
      const answer = await fetch(`${rest}/v1/files/${file.id}/content`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      if (!answer.ok) throw new Error(`not read: ${answer.status}`);
      this.#compare(file, bytes);
      this.counts.read++;
    } else {
      // Audits first, twice, so that a provider that is down counts as gone.
      for (const care of ["audit", "audit", "repair"]) {
        await json(`${rest}/v1/files/${file.id}/${care}`, { method: "POST" });
      }
      this.counts.repaired++;
    }
  }

  #compare({ id, name }: Acknowledged, bytes: Uint8Array): void {
    if (!Buffer.from(bytes).equals(contentOf(name))) this.violations.push(`File ${name} (${id}) reads back otherwise`);
  }

  async #requesterAgain(): Promise<string> {
    for (let tries = 0; tries < 600; tries++) {
      const rest = this.#requester.node?.rest;
      if (rest !== undefined) return rest;
      await sleep(50);
    }
    throw new Error("The requester does not come back");
  }

  /** Listens for shards that a provider acknowledged and now says it does not have; until the requester ends. */
  async watch(rest: string): Promise<void> {
    try {
      const { body } = await fetch(`${rest}/v1/file-events`);
      let text = "";
      for await (const piece of body!.pipeThrough(new TextDecoderStream())) {
        const lines = (text + piece).split("\n");
        text = lines.pop()!;
        for (const line of lines) this.#heard(line);
      }
    } catch {
      // It was killed.
    }
  }

  #heard(line: string): void {
    if (line.startsWith("data: ") && !line.includes('"progress"')) {
      appendFileSync(`${this.#requester.dataDir}.events`, `${line.slice(6)}\n`);
    }
    if (line.includes(" was moved to ")) this.counts.moved++;
    // An audit under way while its file is removed finds no shard, and rightly so.
    const isKept = this.#kept.has(/"fileId":"([^"]+)"/.exec(line)?.[1] ?? "");
    if (isKept && /failed an audit: (?:There is no shard|.*other bytes)/.test(line)) {
      this.violations.push(`An acknowledged shard is missing: ${line.slice(6)}`);
    }
  }

  /** With all nodes up: every acknowledged file has all of its shards again and reads back equal. */
  async verify(): Promise<void> {
    const rest = this.#requester.node!.rest;
    const listed = await this.#list(rest);
    for (const file of this.#kept.values()) {
      if (!listed.has(file.id)) this.violations.push(`File ${file.name} (${file.id}) was acknowledged and is gone`);
    }
    for (const file of listed.values()) {
      if (file.state === "uploading") continue;
      const fault = await this.#faultOf(file, rest);
      if (fault !== undefined) this.violations.push(`File ${file.name} (${file.id}): ${fault}`);
    }
  }

  /** Repairs and reads a file; a machine that is busy may need more than one turn until all nodes answer in time. */
  async #faultOf(file: FileJson, rest: string): Promise<string | undefined> {
    const giveUpAt = performance.now() + VERIFY_MS;
    for (;;) {
      let fault: string | undefined;
      try {
        await json(`${rest}/v1/files/${file.id}/audit`, { method: "POST" });
        const { margin, shards } = await json<HealthJson>(`${rest}/v1/files/${file.id}/repair`, { method: "POST" });
        const answer = await fetch(`${rest}/v1/files/${file.id}/content`);
        const bytes = new Uint8Array(await answer.arrayBuffer());
        if (!answer.ok) throw new Error(`not read: ${answer.status}`);
        this.#compare(file, bytes);
        if (margin === 1) return undefined;
        fault = `not whole after a repair: ${JSON.stringify(shards)}`;
      } catch (error) {
        fault = String(error);
      }
      if (performance.now() > giveUpAt) return fault;
      await sleep(500);
    }
  }

  /** Removes all files, and what interrupted puts left. Returns how many there were. */
  async removeAll(): Promise<number> {
    const rest = this.#requester.node!.rest;
    const listed = await this.#list(rest);
    for (const id of listed.keys()) await fetch(`${rest}/v1/files/${id}`, { method: "DELETE" });
    return listed.size;
  }

  async #list(rest: string): Promise<Map<string, FileJson>> {
    const { files } = await json<{ files: FileJson[] }>(`${rest}/v1/files?allVersions&pageSize=1000`);
    return new Map(files.map((file) => [file.id, file]));
  }
}

async function json<T>(url: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${init?.method ?? "GET"} ${url}: ${answer.status} ${text}`);
  return JSON.parse(text) as T;
}
