import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMemoryStore, openStore } from "../../src/storage/mod.ts";
import { taskStoreContract } from "../contract-suites/task-store.ts";

taskStoreContract("memory", () => Promise.resolve(openMemoryStore()));

taskStoreContract("LevelDB", async () => {
  const folder = await mkdtemp(join(tmpdir(), "velas-test-"));
  const store = await openStore(join(folder, "db"));
  return {
    tasks: store.tasks,
    async close() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
