import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { FileQuery, StoredFile } from "../../src/core/mod.ts";
import { listFiles } from "../../src/requester/file-list.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";

function file(name: string, version: number, uploading: boolean): StoredFile {
  return {
    id: createHash("sha256").update(`${name}/${version}`).digest("hex").slice(0, 32),
    name,
    version,
    contentType: "text/plain",
    sizeBytes: 1,
    sha256: "",
    policy: { dataShards: 1, parityShards: 0 },
    createdAt: 1,
    touchedAt: 1,
    warnings: [],
    phase: uploading ? "uploading" : "kept",
    shards: [{ target: "", state: "stored" }],
    leftovers: [],
    dueAt: 1,
  };
}

const bytewise = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What a listing must give, made the plain way. */
function expected(
  files: readonly StoredFile[],
  { prefix, delimiter, allVersions }: Omit<FileQuery, "pageSize" | "pageToken">,
) {
  const shown: string[] = [];
  const sorted = files.toSorted((a, b) => bytewise(a.name, b.name) || b.version - a.version);
  for (const one of sorted) {
    if (!one.name.startsWith(prefix)) continue;
    const cut = delimiter === "" ? -1 : one.name.indexOf(delimiter, prefix.length);
    if (cut >= 0) {
      const folder = one.name.slice(0, cut + delimiter.length);
      if (shown.at(-1) !== `folder ${folder}`) shown.push(`folder ${folder}`);
      continue;
    }
    const versions = sorted.filter(({ name }) => name === one.name);
    const latest = versions.find(({ phase }) => phase === "kept") ?? versions[0];
    if (allVersions || latest === one) shown.push(`${one.name} v${one.version} ${latest === one}`);
  }
  return shown;
}

async function listed(files: readonly StoredFile[], query: Omit<FileQuery, "pageToken">) {
  const store = await openMemoryStore();
  try {
    await store.files.write(files.map((one) => ({ type: "save", file: one })), { durable: false });
    const shown: string[] = [];
    let pageToken = "";
    do {
      const page = await listFiles(store.files, { ...query, pageToken });
      assert.ok(page.files.length + page.folders.length <= query.pageSize);
      shown.push(...page.folders.map((folder) => `folder ${folder}`));
      shown.push(...page.files.map(({ name, version, isLatest }) => `${name} v${version} ${isLatest}`));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return shown;
  } finally {
    await store.close();
  }
}

test("every listing, in pages of any size, gives what the plain way gives", async () => {
  const name = fc.array(fc.constantFrom("a", "b", "/", "é", "\u{1f600}"), { minLength: 1, maxLength: 4 }).map((all) =>
    all.join("")
  );
  const someFiles = fc.uniqueArray(name, { maxLength: 8 }).chain((names) =>
    fc.tuple(
      ...names.map((one) =>
        fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }).map((uploading) =>
          uploading.map((is, i) => file(one, i + 1, is))
        )
      ),
    ).map((all) => (all as StoredFile[][]).flat())
  );
  const query = fc.record({
    prefix: fc.constantFrom("", "a", "a/", "é"),
    delimiter: fc.constantFrom("", "/"),
    allVersions: fc.boolean(),
    pageSize: fc.integer({ min: 1, max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(someFiles, query, async (files, asked) => {
      // Within a page folders are told apart from files, so that only their order between pages is lost.
      assert.deepEqual((await listed(files, asked)).toSorted(), expected(files, asked).toSorted());
    }),
    { numRuns: 300 },
  );
});

test("10,000 files are listed in ten pages, in order", async () => {
  const files = Array.from({ length: 10_000 }, (_, i) => file(`file-${String(i).padStart(5, "0")}`, 1, false));
  const shown = await listed(files, { prefix: "", delimiter: "", allVersions: false, pageSize: 1000 });
  assert.deepEqual(shown, expectedNames());
  assert.deepEqual(
    await listed(files, { prefix: "file-0999", delimiter: "", allVersions: true, pageSize: 7 }),
    expectedNames().slice(9990, 10_000),
  );

  function expectedNames() {
    return files.map(({ name }) => `${name} v1 true`);
  }
});

test("a page token of somebody's own making is refused", async () => {
  const store = await openMemoryStore();
  for (const pageToken of ["x", "e30", Buffer.from('{"name":1}').toString("base64url")]) {
    const query = { prefix: "", delimiter: "", allVersions: false, pageSize: 10, pageToken };
    await assert.rejects(listFiles(store.files, query), { code: "invalid_argument" });
  }
  await store.close();
});
