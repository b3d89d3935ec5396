import { one } from "@/shell/search";

/** `from`: a task to run again; `agent` and `version`: what is chosen at first. */
export type Search = { from?: string; agent?: string; version?: string };

export function validate(raw: Record<string, unknown>): Search {
  const [from, agent, version] = [one(raw.from), one(raw.agent), one(raw.version)];
  return { ...(from ? { from } : {}), ...(agent ? { agent } : {}), ...(version ? { version } : {}) };
}
