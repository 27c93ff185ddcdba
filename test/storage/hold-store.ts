/** Opens the store at the path of its first argument, says so, and holds it until it is killed. */
import process from "node:process";
import { openStore } from "../../src/storage/mod.ts";

await openStore(process.argv[2]!);
process.stdout.write("open\n");
setInterval(() => {}, 1000);
