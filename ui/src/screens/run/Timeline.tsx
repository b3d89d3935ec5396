/** The timeline: the rows of a run in a virtual list, which follows the end until somebody scrolls up. */
import { ArrowDown } from "lucide-react";
import { useMemo, useState } from "react";
import { isFinal, type Task } from "@/api/types";
import { useRunState, useVersion } from "@/log/hooks";
import { matches, textOf } from "@/log/rows";
import type { RunLog } from "@/log/run";
import { Empty, ErrorState, Skeleton } from "@/parts/States";
import { useShortcut } from "@/shell/keys";
import { Announcer } from "@/timeline/Announcer";
import { useFollowedList } from "@/timeline/followed";
import { EventRow, LiveRow } from "@/timeline/Rows";
import { Button } from "@/widgets/Button";
import { TimelineBar, useTimelineSearch } from "./TimelineBar";
import { words } from "./words";

const LIVE = "live";

/** `chosen`: the row that the URL names. */
export function Timeline(props: { log: RunLog; task: Task; chosen: string | null }) {
  const state = useRunState(props.log);
  if (state.isLoading) return <Skeleton lines={8} />;
  if (state.error && props.log.store.order.length === 0) {
    return <ErrorState error={state.error} onRetry={() => void props.log.open()} />;
  }
  return <List {...props} />;
}

function List(props: { log: RunLog; task: Task; chosen: string | null }) {
  const { log, task } = props;
  const { store } = log;
  const state = useRunState(log);
  const version = useVersion(store);
  const { show, find } = useTimelineSearch();
  const [isFullScreen, setFullScreen] = useState(false);
  const needle = find.toLowerCase();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the order grows in place, and says so by its version
  const kept = useMemo(() => {
    if (show === "all" && needle === "") return store.order;
    return store.order.filter((id) => {
      const row = store.row(id);
      return row && matches(row, show) && (needle === "" || textOf(row).toLowerCase().includes(needle));
    });
  }, [version, show, needle, store]);
  const liveRows = isFinal(task.status) ? 0 : 1; // what the agent is writing comes after the last event
  const ids = {
    count: kept.length + liveRows,
    at: (index: number) => (index < kept.length ? kept[index] : LIVE),
    indexOf: (id: string) => kept.indexOf(id),
  };
  const follow = useFollowedList(log, ids, props.chosen);
  useShortcut("f", follow.toEnd);
  useShortcut("e", () =>
    document.activeElement?.closest("[data-row]")?.querySelector<HTMLElement>("[data-expand]")?.click(),
  );
  const box = isFullScreen ? "fixed inset-0 z-30 bg-page" : "h-full";
  return (
    <div className={`flex min-h-0 flex-col ${box}`}>
      <TimelineBar
        task={task}
        found={needle === "" ? null : kept.length}
        isFullScreen={isFullScreen}
        onFullScreen={() => setFullScreen(!isFullScreen)}
      />
      {/* Beside the list, not in it: the places of the rows are counted from the top of what is scrolled. */}
      {state.hasOlder && follow.isNearTop && (
        <Button
          size="small"
          disabled={state.isLoadingOlder}
          onClick={() => void log.loadOlder()}
          className="mx-auto my-1 shrink-0"
        >
          {words.older}
        </Button>
      )}
      {!state.hasOlder && (store.first ?? 1) > 1 && (
        <p className="p-1 text-center text-[13px] text-soft">{words.purged}</p>
      )}
      <div ref={follow.scroller} className="relative min-h-0 flex-1 overflow-y-auto" data-testid="timeline">
        {store.order.length === 0 && <Empty title={words.noEvents} />}
        {store.order.length > 0 && kept.length === 0 && <Empty title={words.noMatch} />}
        <div
          role="feed"
          aria-label={words.timeline}
          aria-busy={state.isLoadingOlder}
          className="relative w-full"
          style={{ height: follow.height }}
        >
          {follow.items.map((item) => {
            const id = ids.at(item.index);
            return (
              <div
                key={item.key}
                ref={follow.measure}
                data-index={item.index}
                className="absolute top-0 left-0 w-full"
                style={{ transform: `translateY(${item.start}px)` }}
              >
                {id === undefined ? null : id === LIVE ? (
                  <LiveRow store={store} task={task} stream={state.stream} />
                ) : (
                  <EventRow
                    store={store}
                    id={id}
                    taskId={task.id}
                    isChosen={id === props.chosen}
                    place={item.index + 1}
                    count={ids.count}
                  />
                )}
              </div>
            );
          })}
        </div>
      </div>
      {!follow.isAtEnd && (
        <div className="relative">
          <Button kind="primary" onClick={follow.toEnd} className="absolute right-4 bottom-3 shadow-lg">
            <ArrowDown aria-hidden size={14} />
            {state.hasNewer ? words.newest : follow.unread ? words.unread(follow.unread) : words.follow}
          </Button>
        </div>
      )}
      <Announcer store={store} />
    </div>
  );
}
