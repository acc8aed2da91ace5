/** Light or dark: what the system prefers, unless a person chose otherwise in this browser. */
export type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEY = "turnstone-theme";

/** What was chosen, here or in another tab; storage may be forbidden, and hold anything. */
export function theme(): Theme {
  try {
    return THEMES.find((known) => known === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system";
  }
}

export function setTheme(chosen: Theme) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is left.
  }
  show(chosen);
}

/** Shows what is chosen, and calls `changed` whenever the colours have become others. */
export function followTheme(changed: () => void) {
  show(theme());
  addEventListener("storage", (event) => {
    if (event.key === KEY) show(theme());
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  new MutationObserver(changed).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

function show(chosen: Theme) {
  const root = document.documentElement;
  if (chosen === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = chosen;
}

/** A colour of base.css as a canvas takes it. */
export function colour(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}
