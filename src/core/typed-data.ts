import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { NodeError } from "./errors.ts";
import type { NodeId } from "./ids.ts";

/** 32 bytes in hex, `0x` and 64 lower-case digits. */
export type Hex32 = `0x${string}`;

/** A member of a struct: its EIP-712 type, and its name. A struct within a struct has its definition as the type. */
export type TypedField = readonly [type: string | TypedStruct, name: string];

/** A struct that can be signed. */
export interface TypedStruct {
  readonly name: string;
  readonly fields: readonly TypedField[];
}

/** The values of a struct by the names of its fields: numbers are bigints, addresses and bytes32 hex. */
export type TypedValues = { readonly [name: string]: string | bigint | TypedValues };

/** What signatures are bound to: a purpose, a chain and a contract. The version is always "1". */
export interface TypedDomain {
  readonly name: string;
  readonly chainId: number;
  readonly verifyingContract: NodeId;
}

const DOMAIN_TYPE = keccak_256(
  utf8ToBytes("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
);
const VERSION_HASH = keccak_256(utf8ToBytes("1"));
const typeHashes = new WeakMap<TypedStruct, Uint8Array>();
const separators = new Map<string, Uint8Array>();
const MAX_SEPARATORS = 100;

/** The digest that is signed for a struct in a domain (EIP-712): Keccak-256 of 0x1901, the domain's and the struct's hash. */
export function typedDigest(domain: TypedDomain, struct: TypedStruct, values: TypedValues): Uint8Array {
  return keccak_256(concatBytes(Uint8Array.of(0x19, 0x01), separatorOf(domain), structHash(struct, values)));
}

/** The EIP-712 hash of a struct, without a domain. */
export function structHash(struct: TypedStruct, values: TypedValues): Uint8Array {
  const words = [typeHash(struct)];
  for (const [type, name] of struct.fields) words.push(wordOf(type, values[name]!, `${struct.name}.${name}`));
  return keccak_256(concatBytes(...words));
}

/** The EIP-712 type in text, such as `Voucher(bytes32 channelId,uint128 cumulative)`, structs within it behind it. */
export function typeText(struct: TypedStruct): string {
  const inner = new Map<string, string>();
  const own = ({ name, fields }: TypedStruct): string => {
    const members = fields.map(([type, field]) => {
      if (typeof type === "string") return `${type} ${field}`;
      inner.set(type.name, own(type));
      return `${type.name} ${field}`;
    });
    return `${name}(${members.join(",")})`;
  };
  const outer = own(struct);
  return outer + [...inner.keys()].sort().map((name) => inner.get(name)!).join("");
}

function typeHash(struct: TypedStruct): Uint8Array {
  let hash = typeHashes.get(struct);
  if (hash === undefined) typeHashes.set(struct, hash = keccak_256(utf8ToBytes(typeText(struct))));
  return hash;
}

function separatorOf({ name, chainId, verifyingContract }: TypedDomain): Uint8Array {
  const key = `${name}|${chainId}|${verifyingContract.toLowerCase()}`;
  let separator = separators.get(key);
  if (separator === undefined) {
    separator = keccak_256(concatBytes(
      DOMAIN_TYPE,
      keccak_256(utf8ToBytes(name)),
      VERSION_HASH,
      wordOf("uint256", BigInt(chainId), "chainId"),
      wordOf("address", verifyingContract, "verifyingContract"),
    ));
    if (separators.size >= MAX_SEPARATORS) separators.clear();
    separators.set(key, separator);
  }
  return separator;
}

function wordOf(type: string | TypedStruct, value: string | bigint | TypedValues, where: string): Uint8Array {
  if (typeof type !== "string") return structHash(type, value as TypedValues);
  if (type === "string") return keccak_256(utf8ToBytes(value as string));
  if (type === "bytes32") return hexWord(value as string, 64, where);
  if (type === "address") return hexWord(value as string, 40, where);
  const bits = Number(/^uint(\d+)$/.exec(type)?.[1]);
  if (typeof value !== "bigint" || value < 0n || value >= 1n << BigInt(bits)) {
    throw new NodeError("invalid_argument", `${where} must be a ${type}, not ${String(value).slice(0, 100)}`);
  }
  return hexToBytes(value.toString(16).padStart(64, "0"));
}

function hexWord(value: string, digits: number, where: string): Uint8Array {
  if (typeof value !== "string" || value.length !== digits + 2 || !/^0x[0-9a-fA-F]+$/.test(value)) {
    throw new NodeError(
      "invalid_argument",
      `${where} must be 0x and ${digits} hex digits, not ${String(value).slice(0, 80)}`,
    );
  }
  return hexToBytes(value.slice(2).padStart(64, "0"));
}

/** Bytes as `0x` and lower-case hex. */
export function toHex(bytes: Uint8Array): Hex32 {
  return `0x${bytesToHex(bytes)}`;
}

/** The bytes of `0x` and hex digits. Throws `invalid_argument` when the text is none. */
export function fromHex(hex: string): Uint8Array {
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(hex)) {
    throw new NodeError("invalid_argument", `"${hex.slice(0, 80)}" is not 0x and pairs of hex digits`);
  }
  return hexToBytes(hex.slice(2));
}
