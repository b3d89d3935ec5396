/** What a user has chosen in this browser. Storage may be blocked; then a choice lasts until the page is closed. */
import { useSyncExternalStore } from "react";

export type Prefs = { theme: "system" | "light" | "dark"; exactTimes: boolean; singleKeys: boolean };

const KEY = "preferences";
const listeners = new Set<() => void>();
let prefs: Prefs = { theme: "system", exactTimes: false, singleKeys: true, ...stored() };

function stored(): Partial<Prefs> {
  try {
    const theme = localStorage.getItem("theme");
    return {
      ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Prefs>),
      theme: theme === "dark" || theme === "light" ? theme : "system",
    };
  } catch {
    return {};
  }
}

export function setPrefs(change: Partial<Prefs>): void {
  prefs = { ...prefs, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify({ exactTimes: prefs.exactTimes, singleKeys: prefs.singleKeys }));
    if (prefs.theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", prefs.theme);
  } catch {
    // It holds until the page is closed.
  }
  applyTheme();
  for (const listener of listeners) listener();
}

export function usePrefs(): Prefs {
  return useSyncExternalStore(subscribe, () => prefs);
}

export function getPrefs(): Prefs {
  return prefs;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const system = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;

function applyTheme(): void {
  const isDark = prefs.theme === "system" ? (system?.matches ?? false) : prefs.theme === "dark";
  document.documentElement.classList.toggle("dark", isDark);
}

system?.addEventListener("change", applyTheme);
