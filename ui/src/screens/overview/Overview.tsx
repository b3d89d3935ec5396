/** What waits for the user, what runs, and what came of today. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { liveTasksQuery } from "@/api/queries";
import type { TaskSummary } from "@/api/types";
import { Page, Panel } from "@/parts/Page";
import { ErrorState, Loaded, Skeleton } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite, useSession } from "@/parts/session";
import { Time } from "@/parts/Time";
import { buttonLook } from "@/widgets/Button";
import { errorMeanings, words as shared } from "@/words";
import { EXAMPLE } from "./example";
import { FirstRun } from "./FirstRun";
import { HealthStrip } from "./HealthStrip";
import { RunningCard } from "./RunningCard";
import { TaskLink } from "./TaskLink";
import { Today } from "./Today";
import { words } from "./words";

const DAY_MS = 86_400_000;
const MAX_EXAMPLES = 5;

/** A step of the first run that was taken in this browser. */
type Mark = "firstRunSkipped" | "firstRunOpened";

function hasMark(mark: Mark, accountId: string): boolean {
  try {
    return localStorage.getItem(`${mark}:${accountId}`) !== null;
  } catch {
    return false;
  }
}

function setMark(mark: Mark, accountId: string): void {
  try {
    localStorage.setItem(`${mark}:${accountId}`, "1");
  } catch {
    // Storage is blocked: it holds until the page is closed.
  }
}

export function Overview() {
  const accountId = useSession().account.id;
  const newest = useQuery(liveTasksQuery("newest", {}, MAX_EXAMPLES));
  const [isSkipped, setSkipped] = useState(() => hasMark("firstRunSkipped", accountId));
  const tasks = newest.data?.data;
  if (tasks === undefined) {
    if (newest.isError) return <ErrorState error={newest.error} onRetry={() => void newest.refetch()} />;
    return <Skeleton />;
  }
  const isFirstRun =
    !isSkipped &&
    tasks.length < MAX_EXAMPLES &&
    tasks.every(({ metadata }) => metadata[EXAMPLE.key] === EXAMPLE.value);
  if (!isFirstRun) return <Usual />;
  return (
    <FirstRun
      example={tasks[0] ?? null}
      isOpened={hasMark("firstRunOpened", accountId)}
      onOpen={() => setMark("firstRunOpened", accountId)}
      onSkip={() => {
        setMark("firstRunSkipped", accountId);
        setSkipped(true);
      }}
    />
  );
}

function Usual() {
  const { isOperator } = useSession();
  const mayWrite = useMayWrite();
  const [dayAgo] = useState(() => new Date(Date.now() - DAY_MS).toISOString());
  const running = useQuery(liveTasksQuery("running", { status: ["running", "pending"] }, 12));
  const ended = useQuery(liveTasksQuery("ended", { completedAfter: dayAgo }, 10));
  return (
    <Page title={words.title}>
      {isOperator && <HealthStrip />}
      <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-3">
        <NeedsYou dayAgo={dayAgo} />
        <Today />
        <Panel
          title={words.running}
          className="lg:col-span-3"
          actions={
            <Link
              to="/tasks"
              search={{ status: ["running", "pending"] }}
              className="text-accent hover:underline"
            >
              {words.allRunning}
            </Link>
          }
        >
          <Loaded query={running} lines={3}>
            {(page) =>
              page.data.length === 0 ? (
                <div className="flex flex-wrap items-center gap-3 p-4 text-soft">
                  {words.noneRunning}
                  {mayWrite && (
                    <Link to="/tasks/new" className={buttonLook("plain", "small")}>
                      {shared.nav.newTask}
                    </Link>
                  )}
                </div>
              ) : (
                <ul className="grid grid-cols-1 gap-3 p-3 sm:grid-cols-2 lg:grid-cols-3">
                  {page.data.map((task) => (
                    <RunningCard key={task.id} task={task} />
                  ))}
                </ul>
              )
            }
          </Loaded>
        </Panel>
        <Panel
          title={words.recent}
          className="lg:col-span-3"
          actions={
            <Link to="/tasks" className="text-accent hover:underline">
              {words.allTasks}
            </Link>
          }
        >
          <Loaded query={ended} lines={4}>
            {(page) => <TaskList tasks={page.data} none={words.noneRecent} />}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}

/** Whose turn it is, what sleeps until a message comes, and what failed in the last 24 hours. */
function NeedsYou(props: { dayAgo: string }) {
  const turns = useQuery(liveTasksQuery("turns", { status: ["awaiting_input"] }, 10));
  const asleep = useQuery(liveTasksQuery("asleep", { status: ["hibernating"] }, 20));
  const failed = useQuery(liveTasksQuery("failed", { status: ["failed"], completedAfter: props.dayAgo }, 10));
  // What its provider delays wakes by itself.
  const sleeping = asleep.data?.data.filter(({ hibernationReason }) => hibernationReason !== "provider");
  const rest = [...(sleeping ?? []), ...(failed.data?.data ?? [])];
  return (
    <Panel title={words.needsYou} className="lg:col-span-2">
      <Loaded query={turns} lines={3}>
        {(page) => <TaskList tasks={[...page.data, ...rest]} none={words.nothing} hint={whatToDo} />}
      </Loaded>
      {[asleep, failed].map(
        (query, index) =>
          query.isError && (
            // biome-ignore lint/suspicious/noArrayIndexKey: there are always these two
            <Loaded key={index} query={query}>
              {() => null}
            </Loaded>
          ),
      )}
    </Panel>
  );
}

function whatToDo(task: TaskSummary): string {
  if (task.status === "awaiting_input") return words.yourTurn;
  if (task.status === "hibernating") return words.asleep;
  const meaning = task.errorCode ? errorMeanings[task.errorCode] : undefined;
  return meaning ? `${meaning.means} ${meaning.next}` : (task.errorCode ?? "");
}

function TaskList(props: { tasks: TaskSummary[]; none: string; hint?: (task: TaskSummary) => ReactNode }) {
  if (props.tasks.length === 0) return <p className="p-4 text-soft">{props.none}</p>;
  return (
    <ul>
      {props.tasks.map((task) => (
        <li
          key={task.id}
          className="relative grid grid-cols-[7rem_minmax(0,1fr)_auto] items-baseline gap-x-3 border-t border-line px-4 py-2 first:border-0 hover:bg-sunk"
        >
          <Status status={task.status} completion={task.completion} />
          <div className="min-w-0">
            <TaskLink task={task} className="block truncate after:absolute after:inset-0" />
            {props.hint && <p className="truncate text-[13px] text-soft">{props.hint(task)}</p>}
          </div>
          <Time at={task.completedAt ?? task.createdAt} className="text-soft" />
        </li>
      ))}
    </ul>
  );
}
