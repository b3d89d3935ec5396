/** Keeps the shown page of tasks up to date by the feed: rows change in place, new tasks are only counted. */
import { type InfiniteData, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { currentFeed } from "@/api/feed";
import type { FeedEntry, TaskSummary } from "@/api/types";

export type Pages = InfiniteData<{
  data: TaskSummary[];
  pageInfo: { hasMore: boolean; nextCursor: string | null };
}>;

/** How many tasks were dispatched since the list was loaded; and how to begin anew. */
export function useLiveRows(queryKey: readonly unknown[], loadedAt: number): number {
  const queries = useQueryClient();
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  // biome-ignore lint/correctness/useExhaustiveDependencies: a list that was loaded anew has no unseen tasks
  useEffect(() => setFresh(new Set()), [loadedAt]);
  useEffect(
    () =>
      currentFeed()?.onEntry((entry) => {
        const { taskId } = entry;
        if (taskId === null) return;
        if (entry.type === "task.created") setFresh((old) => new Set(old).add(taskId));
        queries.setQueryData<Pages>(queryKey, (pages) => pages && changed(pages, entry), {
          updatedAt: loadedAt,
        });
      }),
    [queries, queryKey, loadedAt],
  );
  return fresh.size;
}

/** The pages with the entry's task as the entry says it is. */
export function changed(pages: Pages, entry: FeedEntry): Pages {
  const { status, title, completion, errorCode, costUsd } = entry.data;
  if (status === undefined || !pages.pages.some((page) => page.data.some((task) => task.id === entry.taskId)))
    return pages;
  const change = (task: TaskSummary): TaskSummary =>
    task.id !== entry.taskId
      ? task
      : {
          ...task,
          status,
          title: title ?? task.title,
          completion: completion ?? task.completion,
          errorCode: errorCode ?? task.errorCode,
          costUsd: costUsd ?? task.costUsd,
          startedAt: entry.type === "task.started" ? (task.startedAt ?? entry.createdAt) : task.startedAt,
          completedAt: ENDS.has(entry.type) ? entry.createdAt : task.completedAt,
        };
  return { ...pages, pages: pages.pages.map((page) => ({ ...page, data: page.data.map(change) })) };
}

const ENDS = new Set<string>(["task.finished", "task.failed", "task.cancelled", "task.expired"]);
