import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { accountQuery } from "@/api/queries";
import { Money } from "@/parts/Amounts";
import { Page, Panel, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

export function Usage() {
  const account = useQuery(accountQuery);
  const ledger = useQuery({
    queryKey: ["live", "ledger"],
    queryFn: () => data(api.GET("/api/v1/account/ledger", { params: { query: { limit: 50 } } })),
  });
  return (
    <Page title={words.title}>
      <Panel title={words.balance} className="mb-4">
        <Loaded query={account} lines={1}>
          {(shown) => (
            <div className="p-4">
              <p className="text-2xl font-semibold">
                <Money usd={shown.creditBalance} />
              </p>
              {shown.billingMode === "unlimited_grant" && <p className="text-soft">{words.unlimited}</p>}
            </div>
          )}
        </Loaded>
      </Panel>
      <Loaded query={ledger}>
        {(page) =>
          page.data.length === 0 ? (
            <Empty title={words.empty}>{words.emptyText}</Empty>
          ) : (
            <Table
              label={words.ledger}
              rows={page.data}
              id={(entry) => entry.id}
              columns={[
                { title: "Kind", cell: (entry) => entry.kind },
                { title: "Amount", isRight: true, cell: (entry) => <Money usd={entry.amountUsd} /> },
                {
                  title: "Balance after",
                  isRight: true,
                  cell: (entry) => <Money usd={entry.balanceAfterUsd} />,
                },
                {
                  title: "Task",
                  cell: (entry) =>
                    entry.taskId && (
                      <Link
                        to="/tasks/$taskId"
                        params={{ taskId: entry.taskId }}
                        className="font-mono text-[12px] text-accent hover:underline"
                      >
                        {entry.taskId}
                      </Link>
                    ),
                },
                { title: "Time", cell: (entry) => <Time at={entry.createdAt} className="text-soft" /> },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  );
}
