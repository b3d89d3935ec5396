import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { Name } from "@/content/Text";
import { Copyable } from "@/parts/Copyable";
import { Page, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { Time } from "@/parts/Time";
import { words } from "./words";

const route = getRouteApi("/shell/webhooks/$webhookId");

export function WebhookPage() {
  const { webhookId } = route.useParams();
  const webhook = useQuery({
    queryKey: ["webhooks", webhookId],
    queryFn: () => data(api.GET("/api/v1/webhooks/{webhookId}", { params: { path: { webhookId } } })),
  });
  const deliveries = useQuery({
    queryKey: ["webhooks", webhookId, "deliveries"],
    queryFn: () =>
      data(
        api.GET("/api/v1/webhooks/{webhookId}/deliveries", {
          params: { path: { webhookId }, query: { limit: 50 } },
        }),
      ),
  });
  return (
    <Loaded query={webhook}>
      {(shown) => (
        <Page title={shown.url} actions={<Copyable text={shown.id} />}>
          <Loaded query={deliveries}>
            {(page) =>
              page.data.length === 0 ? (
                <Empty title={words.noDeliveries} />
              ) : (
                <Table
                  label={words.deliveries}
                  rows={page.data}
                  id={(delivery) => delivery.id}
                  columns={[
                    { title: "Status", cell: (delivery) => delivery.status },
                    { title: "Event", cell: (delivery) => <Name text={delivery.eventType} /> },
                    {
                      title: "Time",
                      cell: (delivery) => <Time at={delivery.createdAt} className="text-soft" />,
                    },
                  ]}
                />
              )
            }
          </Loaded>
        </Page>
      )}
    </Loaded>
  );
}
