import { readAsset } from "./runtime.ts";

/** The version of this software, as package.json names it. */
export const VERSION: string = JSON.parse(new TextDecoder().decode(readAsset("package.json"))).version;
