import { one, oneOf } from "@/shell/search";

export const TABS = ["editor", "versions", "runs"] as const;

/** `before` and `after`: the versions that are compared; `from`: the agent that a new one is a copy of. */
export type Search = {
  tab?: (typeof TABS)[number];
  before?: string;
  after?: string;
  from?: string;
};

export function validate(raw: Record<string, unknown>): Search {
  const tab = oneOf(raw.tab, TABS);
  const [before, after, from] = [one(raw.before), one(raw.after), one(raw.from)];
  return {
    ...(tab ? { tab } : {}),
    ...(before ? { before } : {}),
    ...(after ? { after } : {}),
    ...(from ? { from } : {}),
  };
}

/** `q`: part of a name. */
export type ListSearch = { q?: string };

export function validateList(raw: Record<string, unknown>): ListSearch {
  const q = one(raw.q);
  return q ? { q } : {};
}
