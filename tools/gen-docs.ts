/** Writes the pages that the program's own definitions generate: docs/configuration.md, docs/cli.md and config.example.json. */
import { writeFileSync } from "node:fs";
import { cliReference } from "../src/cli/mod.ts";
import { configReference, EXAMPLE } from "../src/config/mod.ts";

const root = new URL("../", import.meta.url);
writeFileSync(new URL("docs/configuration.md", root), configReference());
writeFileSync(new URL("docs/cli.md", root), cliReference());
writeFileSync(new URL("config.example.json", root), JSON.stringify(EXAMPLE, null, 2) + "\n");
