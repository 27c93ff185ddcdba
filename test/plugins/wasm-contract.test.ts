import { pluginHostContract } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";

pluginHostContract("WASM plugins", (t) => openHost(t, { modules: ["testing/contract"] }));
