import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { liveTasksQuery } from "@/api/queries";
import type { Agent, TaskSummary } from "@/api/types";
import { Name } from "@/content/Text";
import { Money } from "@/parts/Amounts";
import { type Column, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { Time } from "@/parts/Time";
import { buttonLook } from "@/widgets/Button";
import { versionsQuery } from "./queries";
import { words } from "./words";

const SHOWN = 25;

export function Runs(props: { agent: Agent }) {
  const { agent } = props;
  const mayWrite = useMayWrite();
  const runs = useQuery(liveTasksQuery("agent", { agentId: agent.id }, SHOWN));
  const versions = useInfiniteQuery(versionsQuery(agent.id)).data?.pages.flatMap((page) => page.data) ?? [];
  const columns: Column<TaskSummary>[] = [
    {
      title: words.columns.status,
      cell: (task) => <Status status={task.status} completion={task.completion} />,
    },
    {
      title: words.columns.title,
      cell: (task) => (
        <Link
          to={task.mode === "conversation" ? "/conversations/$taskId" : "/tasks/$taskId"}
          params={{ taskId: task.id }}
          data-row
          className="line-clamp-2 font-medium after:absolute after:inset-0 hover:underline"
        >
          <Name text={task.title ?? words.untitled} />
        </Link>
      ),
    },
    {
      title: words.columns.version,
      cell: (task) => {
        const version = versions.find(({ id }) => id === task.agentVersionId);
        return <span className="text-soft">{version ? `v${version.number}` : ""}</span>;
      },
    },
    {
      title: words.columns.started,
      cell: (task) => <Time at={task.startedAt ?? task.createdAt} className="text-soft" />,
    },
    { title: words.columns.cost, isRight: true, cell: (task) => <Money usd={task.costUsd} /> },
  ];
  return (
    <Loaded query={runs}>
      {(page) =>
        page.data.length === 0 ? (
          <Empty title={words.noTasks}>
            <p>{words.noTasksText}</p>
            {mayWrite && agent.archivedAt === null && (
              <Link to="/tasks/new" search={{ agent: agent.id }} className={buttonLook("primary")}>
                {words.run}
              </Link>
            )}
          </Empty>
        ) : (
          <div className="space-y-3">
            <Table label={words.tabs.runs} columns={columns} rows={page.data} id={(task) => task.id} />
            <Link to="/tasks" search={{ agent: agent.id }} className="text-accent hover:underline">
              {words.allRuns}
            </Link>
          </div>
        )
      }
    </Loaded>
  );
}
