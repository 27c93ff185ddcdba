import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { NodeError, type NodeId, parseNodeId } from "../core/mod.ts";
import { auditAbi, auditBytecode, channelsBytecode } from "./contracts.ts";

/** A chain on this machine, with the contracts on it, for tests and for trying things out. */
export interface LocalChain {
  readonly url: string;
  readonly chainId: number;
  readonly channels: NodeId;
  readonly registry: NodeId;
  readonly audit: NodeId;
  /** Gives an account coins, in wei. */
  fund(account: NodeId, amount: bigint): Promise<void>;
  /** Calls the chain, such as `evm_increaseTime`. */
  rpc<T>(method: string, params?: readonly unknown[]): Promise<T>;
  close(): Promise<void>;
}

const CHAIN_ID = 31337;
const START_MS = 20_000;

/**
 * Starts anvil on a free port of loopback and deploys the contracts. Throws `failed_precondition` with the cure when there is no anvil.
 */
export async function startLocalChain(options: { readonly port?: number } = {}): Promise<LocalChain> {
  const anvil = findAnvil();
  const child = spawn(anvil, [
    "--host",
    "127.0.0.1",
    "--port",
    String(options.port ?? 0),
    "--chain-id",
    String(CHAIN_ID),
  ], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Whatever ends this process ends the chain.
  const onExit = () => void child.kill("SIGKILL");
  process.once("exit", onExit);
  const close = () => {
    process.off("exit", onExit);
    return ended(child);
  };
  try {
    const url = `http://${await listening(child)}`;
    const rpc = <T>(method: string, params: readonly unknown[] = []) => call<T>(url, method, params);
    const [deployer] = await rpc<string[]>("eth_accounts");
    const deploy = async (data: string): Promise<NodeId> => {
      const hash = await rpc<string>("eth_sendTransaction", [{ from: deployer, data, gas: "0x989680" }]);
      for (let tries = 0; tries < 500; tries++) {
        const receipt = await rpc<{ contractAddress: string; status: string } | null>("eth_getTransactionReceipt", [
          hash,
        ]);
        if (receipt?.status === "0x1") return parseNodeId(receipt.contractAddress);
        if (receipt !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new NodeError("chain_failed", "A contract could not be deployed to the local chain");
    };
    const { decodeFunctionResult, encodeFunctionData } = await import("viem");
    const channels = await deploy(channelsBytecode);
    const audit = await deploy(auditBytecode);
    const question = encodeFunctionData({ abi: auditAbi, functionName: "REGISTRY" });
    const answer = await rpc<`0x${string}`>("eth_call", [{ to: audit, data: question }, "latest"]);
    const registry = parseNodeId(decodeFunctionResult({ abi: auditAbi, functionName: "REGISTRY", data: answer }));
    return {
      url,
      chainId: CHAIN_ID,
      channels,
      audit,
      registry,
      fund: async (account, amount) => {
        await rpc("anvil_setBalance", [account, `0x${amount.toString(16)}`]);
      },
      rpc,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

export interface AnvilPlaces {
  /** The program by its path, which leaves no choice; by default what the environment variable ANVIL says. */
  readonly named?: string;
  /** Modules or package files that npm may have installed it for: it is looked for in their `node_modules` and those of the folders above. */
  readonly roots?: readonly string[];
  /** A folder that is looked into before the path: by default that of the executable that runs. */
  readonly beside?: string;
  readonly path?: string;
}

/**
 * Finds the program itself: what ANVIL names, else in what npm installed, here or with this source, else beside the executable, else on the
 * path. Never npm's script around it, which would leave it behind when it is killed. Throws `failed_precondition` with the cure.
 */
export function findAnvil(
  {
    named = process.env["ANVIL"] ?? "",
    roots = [join(process.cwd(), "package.json"), import.meta.url],
    beside = dirname(process.execPath),
    path = process.env["PATH"] ?? "",
  }: AnvilPlaces = {},
): string {
  const name = process.platform === "win32" ? "anvil.exe" : "anvil";
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  const installedFor = (root: string): string | undefined => {
    try {
      const found = createRequire(root).resolve(`@foundry-rs/anvil-${process.platform}-${arch}/package.json`);
      const binary = join(found, "..", "bin", name);
      return existsSync(binary) ? binary : undefined;
    } catch {
      return undefined; // not for this one
    }
  };
  /** The program that a file is, or is a script of. */
  const programOf = (candidate: string): string | undefined => {
    if (!existsSync(candidate)) return undefined;
    const file = realpathSync(candidate);
    if (statSync(file).isDirectory()) return undefined;
    return /\.[cm]?js$/.test(file) ? installedFor(file) : file;
  };
  if (named !== "") {
    const program = programOf(named);
    if (program !== undefined) return program;
    throw new NodeError(
      "failed_precondition",
      `ANVIL names ${named}, which is no program: correct it, or unset it to have anvil looked for`,
      { data: { file: named } },
    );
  }
  for (const root of roots) {
    const binary = installedFor(root);
    if (binary !== undefined) return binary;
  }
  for (const folder of [beside, ...path.split(delimiter)]) {
    const program = folder === "" ? undefined : programOf(join(folder, name));
    if (program !== undefined) return program;
  }
  throw new NodeError(
    "failed_precondition",
    "The local chain needs anvil, which was not found: run `npm install -g @foundry-rs/anvil`, install Foundry (getfoundry.sh), put the program beside velas-sphere, or name it (ANVIL=/path/to/anvil)",
  );
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const fail = (why: string) =>
      reject(new NodeError("failed_precondition", `anvil did not start: ${why}. ${said.slice(-5).join(" ")}`));
    const timer = setTimeout(() => fail(`it was silent for ${START_MS} ms`), START_MS);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => fail(`it ended with ${code}`));
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (said.length < 50) said.push(line);
        const address = /^Listening on (\S+)/.exec(line)?.[1];
        if (address === undefined) return;
        clearTimeout(timer);
        resolve(address);
      });
    }
  });
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("close", () => resolve());
    // Not child.kill(), after which Deno does not report the end.
    process.kill(child.pid!, "SIGKILL");
  });
}

async function call<T>(url: string, method: string, params: readonly unknown[]): Promise<T> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const answer = await response.json() as { result: T; error?: { message: string } };
  if (answer.error !== undefined) throw new NodeError("chain_failed", `${method} failed: ${answer.error.message}`);
  return answer.result;
}
