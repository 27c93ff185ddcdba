/** Writes the pages that the program's own definitions generate: docs/configuration.md, docs/cli.md, docs/rest-api.md, the man page and config.example.json. */
import { writeFileSync } from "node:fs";
import { cliReference, manPage } from "../src/cli/mod.ts";
import { configReference, EXAMPLE } from "../src/config/mod.ts";
import { restReference } from "./rest-reference.ts";

const root = new URL("../", import.meta.url);
writeFileSync(new URL("docs/configuration.md", root), configReference());
writeFileSync(new URL("docs/cli.md", root), cliReference());
writeFileSync(new URL("docs/rest-api.md", root), restReference());
writeFileSync(new URL("docs/man/velas-sphere.1", root), manPage());
writeFileSync(new URL("config.example.json", root), JSON.stringify(EXAMPLE, null, 2) + "\n");
