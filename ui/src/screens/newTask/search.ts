import { one } from "@/shell/search";

/** `from`: a task to run again; `agent`: the agent that is chosen at first. */
export type Search = { from?: string; agent?: string };

export function validate(raw: Record<string, unknown>): Search {
  const [from, agent] = [one(raw.from), one(raw.agent)];
  return { ...(from ? { from } : {}), ...(agent ? { agent } : {}) };
}
