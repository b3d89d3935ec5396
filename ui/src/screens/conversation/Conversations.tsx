import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { tasksQuery } from "@/api/queries";
import { FINAL, type TaskStatus } from "@/api/types";
import { Code } from "@/content/Code";
import { Name } from "@/content/Text";
import { Money } from "@/parts/Amounts";
import { Page, Table } from "@/parts/Page";
import { Empty, ErrorState, Skeleton } from "@/parts/States";
import { Status } from "@/parts/Status";
import { curl } from "@/parts/snippets";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { words as shared } from "@/words";
import { SHOWN } from "./search";
import { words } from "./words";

const route = getRouteApi("/shell/conversations");
const OPEN: TaskStatus[] = ["awaiting_input", "running", "pending", "hibernating"];

export function Conversations() {
  const { show } = route.useSearch();
  const navigate = route.useNavigate();
  const status = show === undefined ? {} : { status: show === "open" ? OPEN : [...FINAL] };
  const options = tasksQuery({ mode: "conversation", ...status });
  const query = useInfiniteQuery({ ...options, queryKey: ["live", ...options.queryKey] as never });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.data) ?? [], [query.data]);
  const filters = (
    <fieldset className="flex gap-1">
      <legend className="sr-only">{words.title}</legend>
      {SHOWN.map((each) => (
        <Button
          key={each}
          kind="quiet"
          aria-pressed={show === each}
          className="aria-pressed:bg-accent-soft"
          onClick={() => void navigate({ search: show === each ? {} : { show: each }, replace: true })}
        >
          {each === "open" ? words.open : words.endedList}
        </Button>
      ))}
    </fieldset>
  );
  return (
    <Page title={words.title} actions={filters}>
      {query.data === undefined ? (
        query.isError ? (
          <ErrorState error={query.error} onRetry={() => void query.refetch()} />
        ) : (
          <Skeleton />
        )
      ) : rows.length === 0 ? (
        <Nothing isFiltered={show !== undefined} />
      ) : (
        <Table
          label={words.title}
          rows={rows}
          id={(task) => task.id}
          columns={[
            {
              title: words.columns.status,
              cell: (task) => <Status status={task.status} completion={task.completion} />,
            },
            {
              title: words.columns.title,
              cell: (task) => (
                <Link
                  to="/conversations/$taskId"
                  params={{ taskId: task.id }}
                  data-row
                  className="line-clamp-2 font-medium after:absolute after:inset-0 hover:underline"
                >
                  <Name text={task.title ?? words.untitled} />
                </Link>
              ),
            },
            {
              title: words.columns.agent,
              cell: (task) => <Name text={task.agentName} className="text-soft" />,
            },
            {
              title: words.columns.created,
              cell: (task) => <Time at={task.createdAt} className="text-soft" />,
            },
            { title: words.columns.cost, isRight: true, cell: (task) => <Money usd={task.costUsd} /> },
          ]}
        />
      )}
      {query.hasNextPage && (
        <div className="py-4 text-center">
          <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {shared.more}
          </Button>
        </div>
      )}
    </Page>
  );
}

function Nothing(props: { isFiltered: boolean }) {
  if (props.isFiltered) return <Empty title={words.noneShown} />;
  return (
    <Empty title={words.empty}>
      <p>{words.emptyText}</p>
      <div className="text-left">
        <Code
          language="bash"
          text={curl("POST", "/api/v1/agents/agt_standard_data/conversations", { message: "Hello" })}
        />
      </div>
    </Empty>
  );
}
