import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import type { Row } from "./rows";
import { RunLog, type RunState } from "./run";
import type { LiveText, LogStore } from "./store";

/** The log of a task, followed while the component is shown. Null: not yet begun. */
export function useRunLog(taskId: string, around: number | null): RunLog | null {
  const queries = useQueryClient();
  const [log, setLog] = useState<RunLog | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: where the log is opened counts at its beginning only
  useEffect(() => {
    const opened = new RunLog(taskId, () => void queries.invalidateQueries({ queryKey: ["task", taskId] }));
    setLog(opened);
    void opened.open(around);
    return () => opened.stop();
  }, [taskId, queries]);
  useEffect(() => {
    const isElsewhere =
      log !== null && around !== null && !log.state.isLoading && !log.store.row(`e${around}`);
    if (isElsewhere) void log.open(around); // another link to an event of the same log
  }, [log, around]);
  return log?.taskId === taskId ? log : null;
}

export function useRunState(log: RunLog): RunState {
  return useSyncExternalStore(log.subscribe, () => log.state);
}

/** The number of changes of the order of the rows, which is `store.order`. */
export function useVersion(store: LogStore): number {
  return useSyncExternalStore(store.subscribe, () => store.version);
}

export function useRow(store: LogStore, id: string): Row | undefined {
  const subscribe = useCallback((listener: () => void) => store.subscribeRow(id, listener), [store, id]);
  return useSyncExternalStore(subscribe, () => store.row(id));
}

export function useLiveText(store: LogStore): LiveText {
  return useSyncExternalStore(store.subscribeLive, () => store.live);
}
