import { ArrowDown, ChevronDown, ChevronRight, CircleAlert, Wrench } from "lucide-react";
import { useMemo, useState } from "react";
import { isFinal, type Task } from "@/api/types";
import { useRunState, useVersion } from "@/log/hooks";
import type { Row } from "@/log/rows";
import type { RunLog } from "@/log/run";
import { duration } from "@/parts/format";
import { ErrorState, Skeleton } from "@/parts/States";
import { Announcer } from "@/timeline/Announcer";
import { useFollowedList } from "@/timeline/followed";
import { EventRow, LiveRow } from "@/timeline/Rows";
import { Button } from "@/widgets/Button";
import { type Group, groupsOf, work } from "./groups";
import { words } from "./words";

const LIVE = "live";

export function Messages(props: { log: RunLog; task: Task }) {
  const state = useRunState(props.log);
  if (state.isLoading) return <Skeleton lines={6} />;
  if (state.error && props.log.store.order.length === 0) {
    return <ErrorState error={state.error} onRetry={() => void props.log.open()} />;
  }
  return <List {...props} />;
}

function List(props: { log: RunLog; task: Task }) {
  const { log, task } = props;
  const { store } = log;
  const state = useRunState(log);
  const version = useVersion(store);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the order grows in place, and says so by its version
  const groups = useMemo(
    () => groupsOf(store.order.map((id) => store.row(id)).filter((row): row is Row => row !== undefined)),
    [version, store],
  );
  const ids = {
    count: groups.length + (isFinal(task.status) ? 0 : 1),
    at: (index: number) => (index < groups.length ? groups[index]?.id : LIVE),
    indexOf: (id: string) => groups.findIndex((group) => group.id === id),
  };
  const list = useFollowedList(log, ids, null);
  return (
    <div className="relative flex h-full flex-col">
      {state.hasOlder && list.isNearTop && (
        <Button
          size="small"
          disabled={state.isLoadingOlder}
          onClick={() => void log.loadOlder()}
          className="mx-auto my-1 shrink-0"
        >
          {words.older}
        </Button>
      )}
      <div ref={list.scroller} className="min-h-0 flex-1 overflow-y-auto" data-testid="messages">
        <div
          role="feed"
          aria-label={words.title}
          className="relative mx-auto w-full max-w-3xl"
          style={{ height: list.height }}
        >
          {list.items.map((item) => {
            const group = groups[item.index];
            return (
              <div
                key={item.key}
                ref={list.measure}
                data-index={item.index}
                className="absolute top-0 left-0 w-full"
                style={{ transform: `translateY(${item.start}px)` }}
              >
                {group === undefined ? (
                  <LiveRow store={store} task={task} stream={state.stream} />
                ) : group.isFold ? (
                  <Fold group={group} log={log} place={item.index + 1} count={ids.count} />
                ) : (
                  <EventRow
                    store={store}
                    id={group.id}
                    taskId={task.id}
                    isChosen={false}
                    place={item.index + 1}
                    count={ids.count}
                  />
                )}
              </div>
            );
          })}
        </div>
      </div>
      {!list.isAtEnd && (
        <Button kind="primary" onClick={list.toEnd} className="absolute right-4 bottom-3 shadow-lg">
          <ArrowDown aria-hidden size={14} />
          {list.unread ? words.unread(list.unread) : words.follow}
        </Button>
      )}
      <Announcer store={store} />
    </div>
  );
}

/** What the agent did between two messages, in one line until somebody opens it. */
function Fold(props: { group: Group; log: RunLog; place: number; count: number }) {
  const [isOpen, setOpen] = useState(false);
  const { tools, ms, isRunning, hasError } = work(props.group.rows);
  const Chevron = isOpen ? ChevronDown : ChevronRight;
  const Icon = hasError ? CircleAlert : Wrench;
  return (
    <article aria-posinset={props.place} aria-setsize={props.count} className="px-4 py-0.5">
      <button
        type="button"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
        className="flex items-center gap-2 rounded px-1 py-0.5 text-[13px] text-soft hover:bg-sunk"
      >
        <Chevron aria-hidden size={14} />
        <Icon
          aria-hidden
          size={14}
          className={isRunning ? "pulse-slow text-blue" : hasError ? "text-red" : ""}
        />
        {tools ? words.used(tools, duration(ms)) : words.steps(props.group.rows.length)}
      </button>
      {isOpen && (
        <div className="ml-3 border-l border-line">
          {props.group.rows.map((row, index) => (
            <EventRow
              key={row.id}
              store={props.log.store}
              id={row.id}
              taskId={props.log.taskId}
              isChosen={false}
              place={index + 1}
              count={props.group.rows.length}
            />
          ))}
        </div>
      )}
    </article>
  );
}
