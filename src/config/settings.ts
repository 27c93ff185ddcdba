import type * as z from "zod";
import { type Config, configSchema } from "./schema.ts";
import { type SettingMeta, settingMeta } from "./setting.ts";

/** One key of the configuration and its names everywhere. */
export interface Setting extends SettingMeta {
  readonly group: keyof Config;
  readonly name: string;
  /** `rpc.maxMessageBytes` */
  readonly key: string;
  /** `--rpc-max-message-bytes`; absent for secrets. */
  readonly flag?: string;
  /** `VELAS_SPHERE_RPC_MAX_MESSAGE_BYTES` */
  readonly env: string;
  readonly schema: z.ZodType;
}

/** What the environment names of settings begin with. */
export const ENV_PREFIX = "VELAS_SPHERE_";

/** Every setting, in the schema's order. */
export const SETTINGS: readonly Setting[] = Object.entries(configSchema.shape).flatMap(([group, { shape }]) =>
  Object.entries(shape).map(([name, schema]) => settingOf(group as keyof Config, name, schema))
);

/** The settings by their keys. */
export const SETTING_BY_KEY: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((setting) => [setting.key, setting]));

function settingOf(group: keyof Config, name: string, schema: z.ZodType): Setting {
  const meta = settingMeta.get(schema);
  if (meta === undefined) throw new TypeError(`${group}.${name} was not made by one of the functions of setting.ts`);
  const words = [group, ...name.split(/(?=[A-Z])/)].map((word) => word.toLowerCase());
  return {
    ...meta,
    group,
    name,
    key: `${group}.${name}`,
    ...(meta.secret ? {} : { flag: `--${words.join("-")}` }),
    env: ENV_PREFIX + words.join("_").toUpperCase(),
    schema,
  };
}
