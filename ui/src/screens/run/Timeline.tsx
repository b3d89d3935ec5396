/** The timeline: the rows of a run in a virtual list, which follows the end until somebody scrolls up. */
import { useRouterState } from "@tanstack/react-router";
import { useVirtualizer, type VirtualItem } from "@tanstack/react-virtual";
import { ArrowDown } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { isFinal, type Task } from "@/api/types";
import { useOrder, useRunLog, useRunState } from "@/log/hooks";
import { matches, textOf } from "@/log/rows";
import type { RunLog } from "@/log/run";
import { Empty, ErrorState, Skeleton } from "@/parts/States";
import { useShortcut } from "@/shell/keys";
import { Button } from "@/widgets/Button";
import { Announcer } from "./Announcer";
import { EventRow, LiveRow } from "./Rows";
import { TimelineBar, useTimelineSearch } from "./TimelineBar";
import { words } from "./words";

const LIVE = "live";
const NEAR_TOP = 600; // pixels from the top at which older events are loaded

export function Timeline(props: { task: Task }) {
  const hash = useRouterState({ select: (state) => state.location.hash });
  const around = /^e(\d{1,9})$/.exec(hash)?.[1];
  const log = useRunLog(props.task.id, around ? Number(around) : null);
  if (log === null) return <Skeleton />;
  return <Loaded log={log} task={props.task} chosen={around ? `e${around}` : null} />;
}

function Loaded(props: { log: RunLog; task: Task; chosen: string | null }) {
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
  const order = useOrder(store);
  const { show, find } = useTimelineSearch();
  const [isFullScreen, setFullScreen] = useState(false);
  const needle = find.toLowerCase();
  const ids = useMemo(() => {
    const kept =
      show === "all" && needle === ""
        ? order
        : order.filter((id) => {
            const row = store.row(id);
            return row && matches(row, show) && (needle === "" || textOf(row).toLowerCase().includes(needle));
          });
    return isFinal(task.status) ? kept : [...kept, LIVE];
  }, [order, show, needle, store, task.status]);
  const follow = useFollowedList(log, ids, props.chosen);
  useShortcut("f", follow.toEnd);
  const box = isFullScreen ? "fixed inset-0 z-30 bg-page" : "h-full";
  return (
    <div className={`flex min-h-0 flex-col ${box}`}>
      <TimelineBar
        task={task}
        found={needle === "" ? null : ids.length - (isFinal(task.status) ? 0 : 1)}
        isFullScreen={isFullScreen}
        onFullScreen={() => setFullScreen(!isFullScreen)}
      />
      <div ref={follow.scroller} className="relative min-h-0 flex-1 overflow-y-auto" data-testid="timeline">
        {state.hasOlder && (
          <div className="p-2 text-center">
            <Button size="small" disabled={state.isLoadingOlder} onClick={() => void log.loadOlder()}>
              {words.older}
            </Button>
          </div>
        )}
        {!state.hasOlder && (store.first ?? 1) > 1 && (
          <p className="p-2 text-center text-soft">{words.purged}</p>
        )}
        {order.length === 0 && <Empty title={words.noEvents} />}
        {order.length > 0 && ids.length === (isFinal(task.status) ? 0 : 1) && <Empty title={words.noMatch} />}
        <div
          role="feed"
          aria-label={words.timeline}
          aria-busy={state.isLoadingOlder}
          className="relative w-full"
          style={{ height: follow.height }}
        >
          {follow.items.map((item) => {
            const id = ids[item.index];
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
                    count={ids.length}
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

type Followed = {
  scroller: React.RefObject<HTMLDivElement | null>;
  items: VirtualItem[];
  height: number;
  measure: (element: Element | null) => void;
  isAtEnd: boolean;
  unread: number;
  toEnd: () => void;
};

/** The visible part of the list, which sticks to its end and stays put when somebody has scrolled up. */
function useFollowedList(log: RunLog, ids: readonly string[], chosen: string | null): Followed {
  const scroller = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(chosen === null);
  const [seen, setSeen] = useState(ids.length);
  const virtualizer = useVirtualizer({
    count: ids.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 36,
    getItemKey: (index) => ids[index] ?? index,
    overscan: 12,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: 80,
  });
  const count = ids.length;
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const onScroll = () => {
      const isNow = element.scrollHeight - element.scrollTop - element.clientHeight < 80;
      setAtEnd(isNow && !log.state.hasNewer);
      if (element.scrollTop < NEAR_TOP && log.state.hasOlder) void log.loadOlder();
      if (isNow && log.state.hasNewer) void log.loadNewer();
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, [log]);
  useEffect(() => {
    if (isAtEnd) setSeen(count);
  }, [isAtEnd, count]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the place is chosen once, when the list is first shown
  useEffect(() => {
    const index = chosen === null ? -1 : ids.indexOf(chosen);
    if (index >= 0) virtualizer.scrollToIndex(index, { align: "center" });
    else virtualizer.scrollToEnd({});
  }, []);
  const toEnd = useCallback(() => {
    if (log.state.hasNewer) void log.open().then(() => virtualizer.scrollToEnd({}));
    else virtualizer.scrollToEnd({});
    setAtEnd(true);
  }, [log, virtualizer]);
  return {
    scroller,
    items: virtualizer.getVirtualItems(),
    height: virtualizer.getTotalSize(),
    measure: virtualizer.measureElement,
    isAtEnd,
    unread: Math.max(0, count - seen),
    toEnd,
  };
}
