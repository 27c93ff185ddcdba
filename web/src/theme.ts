import { computed, effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const KEY = "velas-sphere.theme";
const ORDER: readonly Theme[] = ["auto", "light", "dark"];

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY) as Theme;
    return ORDER.includes(value) ? value : "auto";
  } catch {
    return "auto";
  }
}

const chosen = signal<Theme>(stored());
const wantsDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(wantsDark.matches);
wantsDark.addEventListener("change", () => system.value = wantsDark.matches);

effect(() => {
  document.documentElement.dataset["theme"] = chosen.value;
  try {
    localStorage.setItem(KEY, chosen.value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
});

/** The reader's color scheme: the system's, or one of their choice that is remembered. */
export const theme = {
  get value(): Theme {
    return chosen.value;
  },
  /** Whether it is dark now. */
  dark: computed(() => chosen.value === "dark" || (chosen.value === "auto" && system.value)),
  next(): void {
    chosen.value = ORDER[(ORDER.indexOf(chosen.value) + 1) % ORDER.length]!;
  },
};
