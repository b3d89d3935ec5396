import { one } from "@/shell/search";

export type Search = { tab?: string };

export function validate(raw: Record<string, unknown>): Search {
  const tab = one(raw.tab);
  return tab ? { tab } : {};
}
