import process from "node:process";
import { createPluginServer, supervision } from "../../src/rpc/mod.ts";
import { contractFunctions } from "./contract-functions.ts";

// The plugin of the contract suite as a program of its own, which a node starts.
const { path, secret } = supervision(process.env)!;
const server = createPluginServer({ name: "itself", version: "1.2.3", secret, functions: contractFunctions });
await server.listen({ path });
