import { oneOf } from "@/shell/search";

export const TABS = ["health", "runners", "queue", "accounts", "settings", "audit"] as const;
export type TabName = (typeof TABS)[number];
export type Search = { tab?: TabName };

export function validate(raw: Record<string, unknown>): Search {
  const tab = oneOf(raw.tab, TABS);
  return tab ? { tab } : {};
}
