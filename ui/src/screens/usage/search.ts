import { one, oneOf } from "@/shell/search";

export const RANGES = ["7", "30", "90", "365"] as const;
export const MEASURES = ["cost", "tokens", "minutes", "tasks"] as const;

/** `by`: what the bars are stacked by, `agent`, `model`, `key` or `metadata.<key>`; without it, by kind of cost. */
export type Search = {
  tab?: "ledger";
  days?: (typeof RANGES)[number];
  from?: string;
  to?: string;
  by?: string;
  measure?: (typeof MEASURES)[number];
};

export function validate(raw: Record<string, unknown>): Search {
  const search: Search = {
    tab: oneOf(raw.tab, ["ledger"]),
    days: oneOf(raw.days, RANGES),
    from: day(raw.from),
    to: day(raw.to),
    by: grouping(raw.by),
    measure: oneOf(raw.measure, MEASURES),
  };
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as Search;
}

function day(value: unknown): string | undefined {
  const text = one(value);
  return text && /^20\d\d-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : undefined;
}

function grouping(value: unknown): string | undefined {
  const text = one(value);
  return text && /^(agent|model|key|metadata\.[^,]{1,100})$/.test(text) ? text : undefined;
}
