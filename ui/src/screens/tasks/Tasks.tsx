import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { agentsQuery, tasksQuery } from "@/api/queries";
import type { TaskSummary } from "@/api/types";
import { Code } from "@/content/Code";
import { Name } from "@/content/Text";
import { Money, Tokens } from "@/parts/Amounts";
import { type Column, Page, Table } from "@/parts/Page";
import { Empty, ErrorState, Skeleton } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { curl } from "@/parts/snippets";
import { Elapsed, Time } from "@/parts/Time";
import { setTrail } from "@/shell/trail";
import { Button, buttonLook } from "@/widgets/Button";
import { BulkBar } from "./BulkBar";
import { FilterBar } from "./FilterBar";
import { toFilters } from "./filters";
import { useLiveRows } from "./live";
import { words } from "./words";

const route = getRouteApi("/shell/tasks");

export function Tasks() {
  const search = route.useSearch();
  const [openedAt] = useState(() => Date.now());
  const options = useMemo(() => tasksQuery(toFilters(search, openedAt)), [search, openedAt]);
  const query = useInfiniteQuery(options);
  const fresh = useLiveRows(options.queryKey, query.dataUpdatedAt);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.data) ?? [], [query.data]);
  useEffect(() => setTrail(rows.map((task) => task.id)), [rows]);
  const chosen = rows.filter((task) => selected.has(task.id));
  return (
    <Page
      title={words.title}
      isWide
      actions={
        fresh > 0 && (
          <Button kind="primary" onClick={() => void query.refetch()}>
            {words.fresh(fresh)}
          </Button>
        )
      }
    >
      <FilterBar search={search} />
      {chosen.length > 0 && <BulkBar tasks={chosen} onDone={() => setSelected(new Set())} />}
      {query.data === undefined ? (
        query.isError ? (
          <ErrorState error={query.error} onRetry={() => void query.refetch()} />
        ) : (
          <Skeleton lines={9} />
        )
      ) : rows.length === 0 && !query.hasNextPage ? (
        <Nothing isFiltered={Object.keys(search).length > 0} />
      ) : (
        <Rows rows={rows} selected={selected} onSelect={setSelected} />
      )}
      {query.hasNextPage && (
        <div className="py-4 text-center">
          <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {words.more50}
          </Button>
        </div>
      )}
    </Page>
  );
}

function Rows(props: {
  rows: TaskSummary[];
  selected: ReadonlySet<string>;
  onSelect: (ids: ReadonlySet<string>) => void;
}) {
  const mayWrite = useMayWrite();
  const agents = useQuery(agentsQuery);
  const versions = new Map(
    agents.data?.data.map((agent) => [agent.currentVersion.id, agent.currentVersion.number]),
  );
  const toggle = (id: string) => {
    const next = new Set(props.selected);
    if (!next.delete(id)) next.add(id);
    props.onSelect(next);
  };
  const columns: Column<TaskSummary>[] = [
    ...(mayWrite
      ? [
          {
            title: words.columns.select,
            isWideOnly: true,
            cell: (task: TaskSummary) => (
              <input
                type="checkbox"
                aria-label={`${words.columns.select} ${task.title ?? task.id}`}
                checked={props.selected.has(task.id)}
                onChange={() => toggle(task.id)}
                className="relative z-10 mt-1"
              />
            ),
          },
        ]
      : []),
    {
      title: words.columns.status,
      cell: (task) => <Status status={task.status} completion={task.completion} />,
    },
    {
      title: words.columns.title,
      cell: (task) => (
        <div className="max-w-2xl min-w-0 max-sm:w-screen">
          <TaskLink task={task} />
          <div className="truncate font-mono text-[12px] text-soft">{task.id}</div>
        </div>
      ),
    },
    {
      title: words.columns.agent,
      cell: (task) => {
        const version = versions.get(task.agentVersionId);
        return (
          <span className="text-soft">
            <Name text={task.agentName} />
            {version ? ` · v${version}` : ""}
          </span>
        );
      },
    },
    {
      title: words.columns.started,
      cell: (task) => <Time at={task.startedAt ?? task.createdAt} className="text-soft" />,
    },
    {
      title: words.columns.duration,
      isRight: true,
      cell: (task) =>
        task.startedAt ? <Elapsed from={task.startedAt} to={task.completedAt} /> : words.notStarted,
    },
    { title: words.columns.cost, isRight: true, cell: (task) => <Money usd={task.costUsd} /> },
    {
      title: words.columns.tokens,
      isRight: true,
      isWideOnly: true,
      cell: (task) => <Tokens count={task.tokenUsage.input_tokens + task.tokenUsage.output_tokens} />,
    },
  ];
  return <Table label={words.title} columns={columns} rows={props.rows} id={(task) => task.id} />;
}

/** The title links to the page; the whole row takes the click. */
function TaskLink(props: { task: TaskSummary }) {
  const { task } = props;
  const to = task.mode === "conversation" ? "/conversations/$taskId" : "/tasks/$taskId";
  return (
    <Link
      to={to}
      params={{ taskId: task.id }}
      data-row
      className="line-clamp-2 font-medium after:absolute after:inset-0 hover:underline"
    >
      <Name text={task.title ?? words.untitled} />
    </Link>
  );
}

function Nothing(props: { isFiltered: boolean }) {
  const mayWrite = useMayWrite();
  if (props.isFiltered) {
    return (
      <Empty title={words.none}>
        <Link to="/tasks" className={buttonLook()}>
          {words.clear}
        </Link>
      </Empty>
    );
  }
  return (
    <Empty title={words.empty}>
      <p>{words.emptyText}</p>
      {mayWrite && (
        <Link to="/tasks/new" className={buttonLook("primary")}>
          {words.newTask}
        </Link>
      )}
      <div className="text-left">
        <Code
          language="bash"
          text={curl("POST", "/api/v1/agents/agt_standard_data/tasks", {
            instructions: "Write a haiku to haiku.md.",
          })}
        />
      </div>
    </Empty>
  );
}
