/** The tokens of contracts/test/support, compiled and deployed. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Abi, encodeFunctionData } from "viem";
import { type NodeId, parseNodeId } from "../../src/core/mod.ts";
import { until } from "../e2e/harness.ts";
import type { LocalChain } from "../../src/payments/local-chain.ts";

interface Compiler {
  compile(input: string, callbacks: { import(path: string): { contents: string } }): string;
}

interface Output {
  readonly errors?: readonly { readonly severity: string; readonly formattedMessage: string }[];
  readonly contracts: Record<string, Record<string, { abi: Abi; evm: { bytecode: { object: string } } }>>;
}

const root = new URL("../../", import.meta.url);
const SOURCE = "contracts/test/support/Tokens.sol";
let compiled: Output["contracts"][string] | undefined;

function tokens(): Output["contracts"][string] {
  if (compiled !== undefined) return compiled;
  const solc = createRequire(import.meta.url)("solc") as Compiler;
  const read = (path: string) => readFileSync(new URL(path, root), "utf8");
  const output = JSON.parse(solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources: { [SOURCE]: { content: read(SOURCE) } },
      settings: { evmVersion: "prague", outputSelection: { [SOURCE]: { "*": ["abi", "evm.bytecode.object"] } } },
    }),
    { import: (path) => ({ contents: read(path.startsWith("@") ? `node_modules/${path}` : path) }) },
  )) as Output;
  const wrong = output.errors?.find(({ severity }) => severity === "error");
  if (wrong !== undefined) throw new Error(wrong.formattedMessage);
  return compiled = output.contracts[SOURCE]!;
}

export interface TestToken {
  readonly address: NodeId;
  /** Calls one of its functions, in a transaction. */
  readonly send: (functionName: string, args: readonly unknown[]) => Promise<void>;
  readonly mint: (account: NodeId, amount: bigint) => Promise<void>;
  readonly balanceOf: (account: NodeId) => Promise<bigint>;
  /** Has an account let another one take its tokens. */
  readonly approve: (account: NodeId, spender: NodeId, amount: bigint) => Promise<void>;
}

type TokenName = "Token" | "NoAnswerToken" | "FeeToken" | "NamedToken" | "AnsweringToken";

/** Deploys one of the tokens. */
export async function deployToken(chain: LocalChain, name: TokenName): Promise<TestToken> {
  const { abi, evm } = tokens()[name]!;
  const [deployer] = await chain.rpc<NodeId[]>("eth_accounts");
  const send = async (from: NodeId, transaction: Record<string, string>) => {
    const hash = await chain.rpc<string>("eth_sendTransaction", [{ from, gas: "0x989680", ...transaction }]);
    type Receipt = { status: string; contractAddress: string } | null;
    const receipt = await until(async () => await chain.rpc<Receipt>("eth_getTransactionReceipt", [hash]) ?? undefined);
    if (receipt.status !== "0x1") throw new Error(`The transaction ${hash} failed`);
    return receipt;
  };
  const { contractAddress } = await send(deployer!, { data: `0x${evm.bytecode.object}` });
  const address = parseNodeId(contractAddress);
  const call = (functionName: string, args: readonly unknown[]) => encodeFunctionData({ abi, functionName, args });
  return {
    address,
    send: async (functionName, args) => {
      await send(deployer!, { to: address, data: call(functionName, args) });
    },
    mint: async (account, amount) => {
      await send(deployer!, { to: address, data: call("mint", [account, amount]) });
    },
    balanceOf: async (account) =>
      BigInt(await chain.rpc<string>("eth_call", [{ to: address, data: call("balanceOf", [account]) }, "latest"])),
    approve: async (account, spender, amount) => {
      await chain.rpc("anvil_impersonateAccount", [account]);
      await send(account, { to: address, data: call("approve", [spender, amount]) });
      await chain.rpc("anvil_stopImpersonatingAccount", [account]);
    },
  };
}
