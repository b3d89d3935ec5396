import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { Money } from "@/parts/Amounts";
import { Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { Empty } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

export function Ledger() {
  const query = useInfiniteQuery({
    queryKey: ["ledger"],
    queryFn: ({ pageParam }) =>
      data(api.GET("/api/v1/account/ledger", { params: { query: pageOf(pageParam) } })),
    ...byCursor,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) < 3 ? 30_000 : false),
  });
  return (
    <div className="pt-4">
      <Pages query={query} empty={<Empty title={words.empty}>{words.emptyText}</Empty>}>
        {(entries) => (
          <Table
            label={words.tabs.ledger}
            rows={entries}
            id={(entry) => entry.id}
            columns={[
              { title: words.kind, cell: (entry) => <span className="font-medium">{entry.kind}</span> },
              { title: words.amount, isRight: true, cell: (entry) => <Money usd={entry.amountUsd} /> },
              { title: words.after, isRight: true, cell: (entry) => <Money usd={entry.balanceAfterUsd} /> },
              {
                title: words.task,
                cell: (entry) =>
                  entry.taskId && (
                    <Link
                      to="/tasks/$taskId"
                      params={{ taskId: entry.taskId }}
                      data-row
                      className="font-mono text-[12px] text-accent hover:underline"
                    >
                      {entry.taskId}
                    </Link>
                  ),
              },
              { title: words.time, cell: (entry) => <Time at={entry.createdAt} className="text-soft" /> },
            ]}
          />
        )}
      </Pages>
    </div>
  );
}
