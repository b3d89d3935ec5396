import type { TaskErrorCode, TaskMode, TaskStatus } from "@/api/types";
import { many, one, oneOf } from "@/shell/search";
import { errorMeanings, statusWords } from "@/words";

export const STATUSES = Object.keys(statusWords) as TaskStatus[];
export const ERROR_CODES = Object.keys(errorMeanings) as TaskErrorCode[];
export const MODES: TaskMode[] = ["autonomous", "conversation"];
export const RANGES = ["1h", "24h", "7d", "30d"] as const;

/** The filters of the list, as the URL has them. Metadata is `metadata=key:value`, several times. */
export type Search = {
  status?: TaskStatus[];
  agent?: string;
  mode?: TaskMode;
  error?: TaskErrorCode;
  q?: string;
  range?: (typeof RANGES)[number];
  after?: string;
  before?: string;
  metadata?: string[];
};

export function validate(raw: Record<string, unknown>): Search {
  const status = many(raw.status).filter((each): each is TaskStatus => (STATUSES as string[]).includes(each));
  const metadata = many(raw.metadata).filter((each) => each.indexOf(":") > 0);
  const search: Search = {
    status: status.length ? status : undefined,
    agent: one(raw.agent),
    mode: oneOf(raw.mode, MODES),
    error: oneOf(raw.error, ERROR_CODES),
    q: one(raw.q),
    range: oneOf(raw.range, RANGES),
    after: day(raw.after),
    before: day(raw.before),
    metadata: metadata.length ? metadata : undefined,
  };
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as Search;
}

function day(value: unknown): string | undefined {
  const text = one(value);
  return text && /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : undefined;
}
