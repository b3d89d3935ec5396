import { type Search, validate } from "./search";

export type View = { name: string; search: Search };

const KEY = "taskViews";

export function loadViews(): View[] {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]") as { name?: unknown; search?: unknown }[];
    return stored
      .filter(
        (view) => typeof view.name === "string" && typeof view.search === "object" && view.search !== null,
      )
      .map((view) => ({ name: String(view.name), search: validate(view.search as Record<string, unknown>) }));
  } catch {
    return [];
  }
}

export function saveViews(views: View[]): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(views));
  } catch {
    // Storage is blocked: the views last until the page is closed.
  }
}
