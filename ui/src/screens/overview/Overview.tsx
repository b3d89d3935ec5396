/** What waits for the user, what runs, and what came of today. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { accountQuery, liveTasksQuery } from "@/api/queries";
import type { TaskStatus, TaskSummary } from "@/api/types";
import { Name } from "@/content/Text";
import { Money } from "@/parts/Amounts";
import { Page, Panel } from "@/parts/Page";
import { Loaded, Skeleton } from "@/parts/States";
import { Status } from "@/parts/Status";
import { Elapsed, Time } from "@/parts/Time";
import { EXAMPLE } from "./example";
import { FirstRun } from "./FirstRun";
import { words } from "./words";

const DAY_MS = 86_400_000;
const COUNTED = 100;
const SKIPPED = "firstRunSkipped";

function wasSkipped(): boolean {
  try {
    return localStorage.getItem(SKIPPED) !== null;
  } catch {
    return false;
  }
}

function rememberSkip(): void {
  try {
    localStorage.setItem(SKIPPED, "1");
  } catch {
    // Storage is blocked: it is skipped until the page is closed.
  }
}

export function Overview() {
  const newest = useQuery(liveTasksQuery("newest", {}, 2));
  const [isSkipped, setSkipped] = useState(wasSkipped);
  const tasks = newest.data?.data;
  const example = tasks?.length === 1 && tasks[0]?.metadata[EXAMPLE.key] === EXAMPLE.value ? tasks[0] : null;
  const isFirstRun = !isSkipped && tasks !== undefined && (tasks.length === 0 || example !== null);
  if (newest.isPending) return <Skeleton />;
  if (!isFirstRun) return <Usual />;
  return (
    <FirstRun
      example={example}
      onSkip={() => {
        rememberSkip();
        setSkipped(true);
      }}
    />
  );
}

function Usual() {
  const [dayAgo] = useState(() => new Date(Date.now() - DAY_MS).toISOString());
  const [midnight] = useState(() => new Date(new Date().setHours(0, 0, 0, 0)).toISOString());
  const waiting = useQuery(liveTasksQuery("waiting", { status: ["awaiting_input", "hibernating"] }, 20));
  const failed = useQuery(liveTasksQuery("failed", { status: ["failed"], completedAfter: dayAgo }, 10));
  const running = useQuery(liveTasksQuery("running", { status: ["running", "pending"] }, 12));
  const ended = useQuery(liveTasksQuery("ended", { completedAfter: dayAgo }, 10));
  const today = useQuery(liveTasksQuery("today", { completedAfter: midnight }, COUNTED));
  const account = useQuery(accountQuery);
  return (
    <Page title={words.title}>
      <div className="grid items-start gap-4 lg:grid-cols-3">
        <Panel title={words.needsYou} className="lg:col-span-2">
          <Loaded query={waiting} lines={3}>
            {(page) => (
              <TaskList
                tasks={[
                  ...page.data.filter((task) => task.hibernationReason !== "provider"),
                  ...(failed.data?.data ?? []),
                ]}
                none={words.nothing}
              />
            )}
          </Loaded>
        </Panel>
        <Panel title={words.today}>
          <Loaded query={today} lines={2}>
            {(page) => <Counts tasks={page.data} isCut={page.pageInfo.hasMore} />}
          </Loaded>
          <Loaded query={account} lines={1}>
            {(data) => (
              <p className="border-t border-line p-4">
                <span className="block text-soft">{words.balance}</span>
                <span className="text-2xl font-semibold">
                  <Money usd={data.creditBalance} />
                </span>
                {data.billingMode === "unlimited_grant" && (
                  <span className="ml-2 text-soft">{words.unlimited}</span>
                )}
              </p>
            )}
          </Loaded>
        </Panel>
        <Panel title={words.running} className="lg:col-span-3">
          <Loaded query={running} lines={3}>
            {(page) =>
              page.data.length === 0 ? (
                <p className="p-4 text-soft">{words.noneRunning}</p>
              ) : (
                <ul className="grid gap-3 p-3 sm:grid-cols-2 lg:grid-cols-3">
                  {page.data.map((task) => (
                    <Card key={task.id} task={task} />
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

/** The tasks of today by their ends. */
function Counts(props: { tasks: TaskSummary[]; isCut: boolean }) {
  const counts = new Map<TaskStatus, number>();
  for (const task of props.tasks) counts.set(task.status, (counts.get(task.status) ?? 0) + 1);
  if (counts.size === 0) return <p className="p-4 text-soft">{words.noneToday}</p>;
  return (
    <ul className="space-y-1 p-4">
      {[...counts].map(([status, count]) => (
        <li key={status} className="flex justify-between gap-2">
          <Status status={status} />
          <span className="tabular-nums">{props.isCut ? words.atLeast(count) : count}</span>
        </li>
      ))}
    </ul>
  );
}

function TaskLink(props: { task: TaskSummary; className?: string }) {
  const { task } = props;
  return (
    <Link
      to={task.mode === "conversation" ? "/conversations/$taskId" : "/tasks/$taskId"}
      params={{ taskId: task.id }}
      data-row
      className={`hover:underline ${props.className ?? ""}`}
    >
      <Name text={task.title ?? words.untitled} />
    </Link>
  );
}

function TaskList(props: { tasks: TaskSummary[]; none: string }) {
  if (props.tasks.length === 0) return <p className="p-4 text-soft">{props.none}</p>;
  return (
    <ul>
      {props.tasks.map((task) => (
        <li key={task.id} className="flex items-center gap-3 border-t border-line px-4 py-2 first:border-0">
          <Status status={task.status} completion={task.completion} />
          <TaskLink task={task} className="min-w-0 flex-1 truncate" />
          <Time at={task.completedAt ?? task.createdAt} className="text-soft" />
        </li>
      ))}
    </ul>
  );
}

function Card(props: { task: TaskSummary }) {
  const { task } = props;
  return (
    <li className="space-y-1 rounded-lg border border-line p-3">
      <div className="flex items-center justify-between gap-2">
        <Status status={task.status} />
        {task.startedAt && <Elapsed from={task.startedAt} to={null} />}
      </div>
      <TaskLink task={task} className="line-clamp-2 font-medium" />
      <p className="flex justify-between gap-2 text-[13px] text-soft">
        <Name text={task.agentName} />
        <Money usd={task.costUsd} />
      </p>
    </li>
  );
}
