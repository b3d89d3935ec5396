import { useInfiniteQuery } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { Name } from "@/content/Text";
import { Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { Empty } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

export function Audit() {
  const query = useInfiniteQuery({
    queryKey: ["installation", "audit"],
    queryFn: ({ pageParam }) =>
      data(api.GET("/api/v1/installation/audit", { params: { query: pageOf(pageParam) } })),
    ...byCursor,
  });
  return (
    <Pages query={query} empty={<Empty title={words.noAudit} />}>
      {(entries) => (
        <Table
          label={words.tabs.audit}
          rows={entries}
          id={(entry) => entry.id}
          columns={[
            { title: words.at, cell: (entry) => <Time at={entry.at} className="text-soft" /> },
            { title: words.action, cell: (entry) => <Name text={entry.action} className="font-medium" /> },
            {
              title: words.target,
              cell: (entry) => <Name text={entry.target ?? ""} className="font-mono text-[12px] break-all" />,
            },
            {
              title: words.actor,
              cell: (entry) => (
                <span className="text-soft">
                  {entry.actor.kind}{" "}
                  <Name text={entry.actor.id ?? ""} className="font-mono text-[12px] break-all" />
                </span>
              ),
            },
            {
              title: words.account,
              isWideOnly: true,
              cell: (entry) => <span className="font-mono text-[12px] text-soft">{entry.accountId}</span>,
            },
            {
              title: words.address,
              isWideOnly: true,
              cell: (entry) => <Name text={entry.address ?? ""} className="text-soft" />,
            },
          ]}
        />
      )}
    </Pages>
  );
}
