/** How today's tasks ended, and what today costs against yesterday. Pure. The days are those of UTC, as in all sums. */
import type { TaskStatus } from "@/api/types";
import type { UsageEntry } from "@/api/usage";

export type Days = { ends: [TaskStatus, number][]; todayUsd: number; yesterdayUsd: number };

const ENDS = ["finished", "failed", "cancelled", "expired"] as const;
const DAY_MS = 86_400_000;

/** Yesterday and today, as the API writes days. */
export function twoDays(now: number): { from: string; to: string } {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10);
  return { from: day(now - DAY_MS), to: day(now) };
}

export function summarise(rows: readonly UsageEntry[], today: string): Days {
  const row = rows.find(({ day }) => day === today);
  const before = rows.find(({ day }) => day !== today);
  const ends = ENDS.flatMap((end): [TaskStatus, number][] => {
    const count = row?.tasks[end] ?? 0;
    return count === 0 ? [] : [[end, count]];
  });
  return { ends, todayUsd: row?.costUsd ?? 0, yesterdayUsd: before?.costUsd ?? 0 };
}
