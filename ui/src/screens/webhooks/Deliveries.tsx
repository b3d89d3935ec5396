import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import type { Webhook, WebhookDelivery } from "@/api/types";
import { Name } from "@/content/Text";
import { Panel, Table } from "@/parts/Page";
import { byCursor, Pages, pageOf } from "@/parts/Pages";
import { Empty } from "@/parts/States";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { statusOf } from "./queries";
import { STATUSES } from "./search";
import { words } from "./words";

const route = getRouteApi("/shell/webhooks/$webhookId");
const REFRESH_MS = 5000;

/** The deliveries of a webhook. While it is switched on, the list follows what is sent. */
export function Deliveries(props: { webhook: Webhook }) {
  const { webhook } = props;
  const { status } = route.useSearch();
  const query = useInfiniteQuery({
    queryKey: ["webhooks", webhook.id, "deliveries", status ?? "all"],
    queryFn: ({ pageParam }) =>
      data(
        api.GET("/api/v1/webhooks/{webhookId}/deliveries", {
          params: {
            path: { webhookId: webhook.id },
            query: { ...pageOf(pageParam), ...(status ? { status } : {}) },
          },
        }),
      ),
    ...byCursor,
    refetchInterval: ({ state }) =>
      webhook.disabledReason === null && (state.data?.pages.length ?? 0) < 3 ? REFRESH_MS : false,
  });
  return (
    <Panel title={words.deliveries} actions={<Filter />}>
      <div className="[&>div]:rounded-none [&>div]:border-0">
        <Pages
          query={query}
          empty={
            status ? (
              <Empty title={words.noneOfStatus} />
            ) : (
              <Empty title={words.noDeliveries}>{words.noDeliveriesText}</Empty>
            )
          }
        >
          {(rows) => <Rows rows={rows} />}
        </Pages>
      </div>
    </Panel>
  );
}

function Filter() {
  const { status } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <fieldset className="flex flex-wrap gap-1">
      <legend className="sr-only">{words.filter}</legend>
      {([undefined, ...STATUSES] as const).map((each) => (
        <Button
          key={each ?? "all"}
          size="small"
          kind={each === status ? "primary" : "quiet"}
          aria-pressed={each === status}
          onClick={() =>
            void navigate({ search: (old) => ({ ...old, status: each }), replace: true, resetScroll: false })
          }
        >
          {words.filters[each ?? "all"]}
        </Button>
      ))}
    </fieldset>
  );
}

function Rows(props: { rows: WebhookDelivery[] }) {
  const search = route.useSearch();
  return (
    <Table
      label={words.deliveries}
      rows={props.rows}
      id={(delivery) => delivery.id}
      columns={[
        {
          title: words.columns.status,
          cell: (delivery) => {
            const { word, colour } = statusOf(delivery);
            return <span className={`font-medium ${colour}`}>{word}</span>;
          },
        },
        {
          title: words.columns.event,
          cell: (delivery) => (
            <Link
              to="/webhooks/$webhookId"
              params={{ webhookId: delivery.webhookId }}
              search={{ ...search, delivery: delivery.id }}
              resetScroll={false}
              data-row
              className="font-medium after:absolute after:inset-0 hover:underline"
            >
              <Name text={delivery.eventType} />
            </Link>
          ),
        },
        {
          title: words.columns.task,
          isWideOnly: true,
          cell: (delivery) => <span className="font-mono text-[12px] text-soft">{delivery.taskId}</span>,
        },
        { title: words.columns.attempts, isRight: true, cell: (delivery) => delivery.attemptCount },
        {
          title: words.columns.next,
          cell: (delivery) =>
            delivery.nextAttemptAt && <Time at={delivery.nextAttemptAt} className="text-soft" />,
        },
        {
          title: words.columns.time,
          cell: (delivery) => <Time at={delivery.createdAt} className="text-soft" />,
        },
      ]}
    />
  );
}
