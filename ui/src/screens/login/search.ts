import { one } from "@/shell/search";

/** `to`: the page to open after the login, a path of ours. */
export type Search = { to?: string };

export function validate(raw: Record<string, unknown>): Search {
  const to = one(raw.to);
  return to && /^\/(?![/\\])/.test(to) ? { to } : {};
}
