/** Compiles `contracts/src/` and makes of it the module `src/gen/contracts.ts`, which `tools/gen.ts` writes and checks. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

interface Artifact {
  readonly abi: readonly unknown[];
  readonly bytecode: { readonly object: string };
}

/** The contracts that nodes call. A registry is deployed by its audit, so its bytecode is within the audit's. */
const CONTRACTS: readonly { readonly name: string; readonly deployed: boolean }[] = [
  { name: "Channels", deployed: true },
  { name: "Registry", deployed: false },
  { name: "Audit", deployed: true },
];

/** The text of the module: each contract's ABI, typed as viem wants it, and the code that deploys it. Throws when the sources do not compile. */
export function contractsModule(): string {
  const run = spawnSync(process.execPath, ["tools/forge.mjs", "build", "contracts/src"], { encoding: "utf8" });
  if (run.status !== 0) {
    throw new Error(`forge cannot compile contracts/src: ${run.error?.message ?? `${run.stdout}${run.stderr}`}`);
  }
  let text = "// Compiled from contracts/src/ by tools/build-contracts.ts; do not edit.\n";
  for (const { name, deployed } of CONTRACTS) {
    const artifact: Artifact = JSON.parse(readFileSync(`contracts/out/${name}.sol/${name}.json`, "utf8"));
    const constant = name.toLowerCase();
    const entries = artifact.abi.map((entry) =>
      JSON.stringify(entry, (key, value) => key === "internalType" ? undefined : value)
    );
    text += `\n/** The ABI of contracts/src/${name}.sol. */\n`;
    text += `export const ${constant}Abi = [\n  ${entries.join(",\n  ")},\n] as const;\n`;
    if (!deployed) continue;
    const code = artifact.bytecode.object;
    const sizeBytes = (code.length - 2) / 2;
    text += `\n/** The code that deploys contracts/src/${name}.sol: ${sizeBytes} bytes, no arguments. */\n`;
    text += `export const ${constant}Bytecode =\n  "${code}";\n`;
  }
  return text;
}
