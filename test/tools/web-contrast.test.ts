import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "../testing.ts";

type Rgb = readonly [number, number, number];

interface Rule {
  readonly selector: string;
  readonly declared: ReadonlyMap<string, string>;
}

const STYLES = "web/src/styles";
const SCHEMES = ["light", "dark"] as const;
type Scheme = typeof SCHEMES[number];

const css = globSync("*.css", { cwd: STYLES }).sort().map((name) => readFileSync(join(STYLES, name), "utf8")).join("\n")
  .replaceAll(/\/\*[\s\S]*?\*\//g, "");

/** The innermost blocks of the style sheets, those of keyframes left out. */
const rules: readonly Rule[] = [...css.matchAll(/([^{};]+)\{([^{}]*)\}/g)].map(([, selector, body]) => ({
  selector: selector!.trim(),
  declared: new Map(
    body!.split(";").filter((line) => line.includes(":")).map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }),
  ),
})).filter(({ selector }) => !/^(?:from|to|\d+%)$/.test(selector));

const palette = new Map(
  [...css.matchAll(/--([a-z-]+): (light-dark\([^;]+\));/g)].map(([, name, value]) => [name!, value!]),
);

/** A plain colour of the style sheets: `#rgb`, `#rrggbb`, `var(--name)` or `light-dark()` of these; undefined for any other value. */
function colourOf(value: string, scheme: Scheme): Rgb | undefined {
  const name = /^var\(--([a-z-]+)\)$/.exec(value)?.[1];
  if (name !== undefined) return colourOf(palette.get(name) ?? "", scheme);
  const both = /^light-dark\((#\w+), (#\w+)\)$/.exec(value);
  const hex = both ? both[scheme === "light" ? 1 : 2]! : value;
  if (/^#[\da-f]{3}$/i.test(hex)) {
    return [...hex.slice(1)].map((digit) => parseInt(digit + digit, 16)) as unknown as Rgb;
  }
  if (!/^#[\da-f]{6}$/i.test(hex)) return undefined;
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
}

function named(name: string, scheme: Scheme): Rgb {
  const colour = colourOf(`var(--${name})`, scheme);
  assert.ok(colour, `--${name} is no colour`);
  return colour;
}

/** WCAG 2.2, "relative luminance". */
function luminance(colour: Rgb): number {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** WCAG 2.2, "contrast ratio", from 1 to 21. */
function contrast(one: Rgb, other: Rgb): number {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (lighter + 0.05) / (darker + 0.05);
}

function assertContrast(what: string, { front, back, least }: { front: Rgb; back: Rgb; least: number }): void {
  const ratio = contrast(front, back);
  assert.ok(ratio >= least, `${what}: ${ratio.toFixed(2)}:1, below ${least}:1`);
}

test("contrast() gives the ratios that WCAG states", () => {
  assert.equal(contrast([0, 0, 0], [255, 255, 255]), 21);
  assert.equal(contrast([9, 9, 9], [9, 9, 9]), 1);
  assert.equal(contrast([0x77, 0x77, 0x77], [255, 255, 255]).toFixed(2), "4.48");
});

test("every text colour of the web page reads on every surface, in light and dark (WCAG AA, 4.5:1)", () => {
  for (const scheme of SCHEMES) {
    for (const text of ["text", "dim", "accent", "ok", "warn", "bad", "violet", "teal"]) {
      for (const surface of ["bg", "panel", "raised", "sunken", "accent-soft", "ok-soft", "warn-soft", "bad-soft"]) {
        const [front, back] = [named(text, scheme), named(surface, scheme)];
        assertContrast(`--${text} on --${surface} (${scheme})`, { front, back, least: 4.5 });
      }
    }
    for (const surface of ["bg", "panel", "raised"]) {
      const [front, back] = [named("edge", scheme), named(surface, scheme)];
      assertContrast(`borders of controls on --${surface} (${scheme})`, { front, back, least: 3 });
    }
  }
});

test("rules that set both text and background keep 4.5:1", () => {
  let checked = 0;
  for (const { selector, declared } of rules) {
    for (const scheme of SCHEMES) {
      const front = colourOf(declared.get("color") ?? "", scheme);
      const back = colourOf(declared.get("background") ?? "", scheme);
      if (front === undefined || back === undefined) continue;
      assertContrast(`${selector} (${scheme})`, { front, back, least: 4.5 });
      checked++;
    }
  }
  assert.ok(
    checked >= 20,
    `${checked} rules were read: the style sheets are written in a way that this test does not know`,
  );
});

test("text that is faded still reads; only disabled controls and icons may fade further", () => {
  for (const { selector, declared } of rules) {
    const opacity = Number(declared.get("opacity") ?? 1);
    if (opacity === 0 || /:disabled|\.icon/.test(selector)) continue;
    for (const scheme of SCHEMES) {
      const [text, back] = [named("dim", scheme), named("panel", scheme)];
      const front = text.map((part, at) => part * opacity + back[at]! * (1 - opacity)) as unknown as Rgb;
      assertContrast(`${selector} with opacity ${opacity} (${scheme})`, { front, back, least: 4.5 });
    }
  }
});
