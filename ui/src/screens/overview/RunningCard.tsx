/** A task that runs or waits for a slot: title, agent, the last tool, how long, and what it cost so far. */
import { useQuery } from "@tanstack/react-query";
import { Wrench } from "lucide-react";
import { api, data } from "@/api/client";
import type { TaskSummary } from "@/api/types";
import { Name } from "@/content/Text";
import { fold, summaryOf } from "@/log/rows";
import { Money } from "@/parts/Amounts";
import { Status } from "@/parts/Status";
import { Elapsed, Time } from "@/parts/Time";
import { TaskLink } from "./TaskLink";
import { words } from "./words";

const POLL_MS = 3000; // the feed has no tool calls
const LOOKED_AT = 20;

export function RunningCard(props: { task: TaskSummary }) {
  const { task } = props;
  const tool = useQuery({
    queryKey: ["last-tool", task.id],
    queryFn: () => lastTool(task.id),
    refetchInterval: POLL_MS,
    enabled: task.status === "running",
  }).data;
  return (
    <li className="relative space-y-1 rounded-lg border border-line p-3 hover:bg-sunk">
      <div className="flex items-center justify-between gap-2">
        <Status status={task.status} />
        {task.startedAt ? <Elapsed from={task.startedAt} to={null} /> : <Time at={task.createdAt} />}
      </div>
      <TaskLink task={task} className="line-clamp-2 font-medium after:absolute after:inset-0" />
      <p className="flex min-h-5 min-w-0 items-center gap-1.5 font-mono text-[12px] text-soft">
        {tool && (
          <>
            <Wrench aria-hidden size={12} className="shrink-0" />
            <Name text={tool} className="truncate" />
          </>
        )}
        {task.status === "pending" && <span className="font-sans">{words.waits}</span>}
      </p>
      <p className="flex justify-between gap-2 text-[13px] text-soft">
        <Name text={task.agentName} />
        <Money usd={task.costUsd} />
      </p>
    </li>
  );
}

/** The newest tool call among the newest events, in a line; null if there is none. */
async function lastTool(taskId: string): Promise<string | null> {
  const query = { order: "desc" as const, limit: LOOKED_AT, fields: "summary" as const };
  const page = await data(api.GET("/api/v1/tasks/{taskId}/events", { params: { path: { taskId }, query } }));
  const started = page.data.find(({ type }) => type === "tool.started");
  const row = started && fold(started, { tool: () => null, message: () => null, asleepSince: null });
  return row?.kind === "tool" ? `${row.tool} ${summaryOf(row)}` : null;
}
