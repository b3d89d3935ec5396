import { one } from "@/shell/search";

export type Search = { tab?: string };

export function validate(raw: Record<string, unknown>): Search {
  const tab = one(raw.tab);
  return tab ? { tab } : {};
}

export function validateList(_raw: Record<string, unknown>): Record<never, never> {
  return {};
}
