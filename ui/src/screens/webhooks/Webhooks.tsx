import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { Name } from "@/content/Text";
import { Page, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { words } from "./words";

export function Webhooks() {
  const query = useQuery({
    queryKey: ["webhooks"],
    queryFn: () => data(api.GET("/api/v1/webhooks", { params: { query: { limit: 100 } } })),
  });
  return (
    <Page title={words.title}>
      <Loaded query={query}>
        {(page) =>
          page.data.length === 0 ? (
            <Empty title={words.empty}>{words.emptyText}</Empty>
          ) : (
            <Table
              label={words.title}
              rows={page.data}
              id={(webhook) => webhook.id}
              columns={[
                {
                  title: "URL",
                  cell: (webhook) => (
                    <Link
                      to="/webhooks/$webhookId"
                      params={{ webhookId: webhook.id }}
                      data-row
                      className="font-medium hover:underline"
                    >
                      <Name text={webhook.url} />
                    </Link>
                  ),
                },
                {
                  title: "Events",
                  cell: (webhook) => <Name text={webhook.events.join(", ")} className="text-soft" />,
                },
                {
                  title: "State",
                  cell: (webhook) => (webhook.disabledReason === null ? words.on : words.off),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  );
}
