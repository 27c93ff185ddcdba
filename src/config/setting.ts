import * as z from "zod";
import { parseTarget } from "../core/mod.ts";
import { parseAddress } from "./address.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

/** What sort of value a setting has; decides how its text form in a flag or the environment is read and how it is shown. */
export type SettingKind =
  | "text"
  | "path"
  | "boolean"
  | "integer"
  | "duration"
  | "size"
  | "choice"
  | "address"
  | "addresses"
  | "texts"
  | "externalPlugins";

/** What the schema says of one setting beside its type. */
export interface SettingMeta {
  readonly kind: SettingKind;
  /** The value it has when nothing sets it, as a configuration file would write it; `undefined` for none. */
  readonly default: unknown;
  readonly description: string;
  /** What a value must be, to complete "it must be …". */
  readonly expectation: string;
  /** The value is never shown, and no flag sets it, since other users of the machine can read a command line. */
  readonly secret: boolean;
  /** A short name for the flag, without the dashes. */
  readonly shortFlag?: string;
}

/** The metadata of every setting's schema. */
export const settingMeta = z.registry<SettingMeta>();

interface Common<T> {
  readonly default: T;
  readonly description: string;
  readonly shortFlag?: string;
}

interface Bounded extends Common<number | string> {
  readonly min: number;
  readonly max: number;
}

type MetaParts = Pick<SettingMeta, "kind" | "expectation"> & { readonly secret?: boolean };

/** Attaches the metadata, and the default when there is one. */
function setting<Schema extends z.ZodType>(schema: Schema, common: Common<unknown>, parts: MetaParts): Schema {
  const described = schema.meta({
    description: common.description,
    ...(common.default === undefined ? {} : { default: common.default }),
  });
  settingMeta.add(described, {
    secret: false,
    default: common.default,
    description: common.description,
    ...(common.shortFlag === undefined ? {} : { shortFlag: common.shortFlag }),
    ...parts,
  });
  return described;
}

/** A text; `pattern` and `expectation` narrow it. */
export function text(options: Common<string> & { pattern?: RegExp; expectation?: string }): z.ZodString {
  const schema = options.pattern === undefined ? z.string() : z.string().regex(options.pattern);
  return setting(schema, options, { kind: "text", expectation: options.expectation ?? "a text" });
}

/** A text that is never shown and has no flag. */
export function secret(options: { description: string; minLength: number }): z.ZodOptional<z.ZodString> {
  return setting(z.string().min(options.minLength).optional(), { default: undefined, ...options }, {
    kind: "text",
    secret: true,
    expectation: `a text of at least ${options.minLength} characters`,
  });
}

/** A path that has a value. In a file it is relative to that file's folder, elsewhere to the working directory; `~/` is the home. */
export function path(options: Common<string>): z.ZodString {
  return setting(z.string().min(1), options, { kind: "path", expectation: "a path" });
}

/** A path that may be absent. */
export function optionalPath(options: { description: string }): z.ZodOptional<z.ZodString> {
  const common = { default: undefined, ...options };
  return setting(z.string().min(1).optional(), common, { kind: "path", expectation: "a path" });
}

/** True or false. */
export function toggle(options: Common<boolean>): z.ZodBoolean {
  return setting(z.boolean(), options, { kind: "boolean", expectation: "true or false" });
}

/** A whole number. */
export function integer(options: Bounded): z.ZodInt {
  const { min, max } = options;
  const expectation = `a whole number from ${min} to ${max}`;
  return setting(z.int().min(min).max(max), options, { kind: "integer", expectation });
}

/** Milliseconds, as a number or with a unit. */
export function duration(options: Bounded): z.ZodType<number, number | string> {
  const { min, max } = options;
  const schema = quantity(parseDuration, { min, max, example: "^\\d+(\\.\\d+)? *(ms|s|m|min|h|d)?$" });
  const range = `from ${formatDuration(min)} to ${formatDuration(max)}`;
  const expectation = `a duration such as "30s" or a number of milliseconds, ${range}`;
  return setting(schema, options, { kind: "duration", expectation });
}

/** Bytes, as a number or with a unit. */
export function size(options: Bounded): z.ZodType<number, number | string> {
  const { min, max } = options;
  const schema = quantity(parseSize, { min, max, example: "^\\d+(\\.\\d+)? *(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$" });
  const expectation = `a size such as "64MiB" or a number of bytes, from ${formatSize(min)} to ${formatSize(max)}`;
  return setting(schema, options, { kind: "size", expectation });
}

/** One of a few words. */
export function choice<const Words extends readonly [string, ...string[]]>(
  words: Words,
  options: Common<Words[number]>,
): z.ZodType<Words[number]> {
  const expectation = `one of ${words.map((word) => `"${word}"`).join(", ")}`;
  return setting(z.enum(words), options, { kind: "choice", expectation });
}

/** Addresses; 16 at most unless `max` says otherwise. */
export function addresses(
  options: Common<readonly string[]> & { readonly min: number; readonly max?: number },
): z.ZodType<string[]> {
  return setting(z.array(addressSchema).min(options.min).max(options.max ?? 16), options, {
    kind: "addresses",
    expectation: `a list of addresses such as "127.0.0.1:8081" or "[::1]:8081"`,
  });
}

/** Nodes to dial. */
export function targets(
  options: Common<readonly string[]> & { readonly max: number },
): z.ZodType<string[]> {
  return setting(z.array(targetSchema).max(options.max), options, {
    kind: "addresses",
    expectation: `a list of targets such as "node.example:8081" or, with TLS, "https://node.example:8081"`,
  });
}

/** One listening address. */
export function address(options: Common<string>): z.ZodType<string> {
  const expectation = `an address such as "127.0.0.1:3000" or "[::1]:3000"`;
  return setting(addressSchema, options, { kind: "address", expectation });
}

/** A list of texts. */
export function texts(options: Common<readonly string[]> & { expectation: string }): z.ZodType<string[]> {
  return setting(z.array(z.string().min(1)).max(1000), options, { kind: "texts", expectation: options.expectation });
}

/** External plugins: objects in a file, `name=address` or `name=protocol@address` in a text. */
export function externalPlugins<Schema extends z.ZodType>(schema: Schema, options: Common<unknown[]>): Schema {
  return setting(schema, options, {
    kind: "externalPlugins",
    expectation: `a list of {"name", "address" or "command", "protocol"}, or of "name=host:port" in a flag`,
  });
}

/** `host:port`. */
export const addressSchema: z.ZodType<string> = z.string().refine((value) => parseAddress(value) !== undefined, {
  error: "not host:port",
}).meta({ examples: ["127.0.0.1:8081", "[::1]:8081"] });

const targetSchema: z.ZodType<string> = z.string().refine(isTarget, { error: "no target" }).meta({
  examples: ["127.0.0.1:8081", "https://node.example:8081"],
});

function isTarget(value: string): boolean {
  try {
    parseTarget(value);
    return true;
  } catch {
    return false;
  }
}

function quantity(
  parse: (text: string) => number | undefined,
  { min, max, example }: { min: number; max: number; example: string },
): z.ZodType<number, number | string> {
  const bounded = z.int().min(min).max(max);
  const withUnit = z.string().regex(new RegExp(example)).transform((value, context) => {
    const amount = parse(value);
    if (amount !== undefined && amount >= min && amount <= max) return amount;
    context.addIssue({ code: "custom", message: "out of range" });
    return z.NEVER;
  });
  return z.union([bounded, withUnit]);
}
