import { valueOf } from "./check.ts";
import { showSource, type ValueSource } from "./load.ts";
import type { Config } from "./schema.ts";
import { SETTINGS } from "./settings.ts";
import { showValue } from "./text-form.ts";

/** A setting as people read it. */
export interface EffectiveValue {
  readonly key: string;
  /** As `config print` shows it; absent when it is not set. A secret's is only a mark. */
  readonly value?: string;
  readonly secret: boolean;
  /** Where the value comes from. */
  readonly source: string;
  readonly description: string;
}

/** Every setting with its value and where that comes from, without secrets. */
export function effectiveSettings(
  config: Config,
  sources: ReadonlyMap<string, ValueSource>,
): readonly EffectiveValue[] {
  return SETTINGS.map((setting) => {
    const { key, description, secret } = setting;
    const value = valueOf(config, key);
    const source = sources.get(key);
    return {
      key,
      description,
      secret,
      source: source === undefined ? "" : showSource(source),
      ...(value === undefined ? {} : { value: showValue(setting, value) }),
    };
  });
}
