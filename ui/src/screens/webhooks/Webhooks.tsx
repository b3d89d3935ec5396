import { useQueries, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import type { Webhook } from "@/api/types";
import { Code } from "@/content/Code";
import { Name } from "@/content/Text";
import { duration } from "@/parts/format";
import { Page, Table } from "@/parts/Page";
import { Empty, Loaded } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { curl } from "@/parts/snippets";
import { Button } from "@/widgets/Button";
import { EditDialog } from "./EditDialog";
import { percent, stateOf, webhookQuery, webhooksQuery } from "./queries";
import { words } from "./words";

const route = getRouteApi("/shell/webhooks");

export function Webhooks() {
  const query = useQuery(webhooksQuery);
  const navigate = route.useNavigate();
  const mayAdminister = useMayAdminister();
  const isNew = route.useSearch().new !== undefined && mayAdminister;
  const setNew = (isOpen: boolean) => void navigate({ search: isOpen ? { new: "true" } : {}, replace: true });
  return (
    <Page
      title={words.title}
      actions={
        mayAdminister && (
          <Button kind="primary" onClick={() => setNew(true)}>
            <Plus aria-hidden size={14} /> {words.new}
          </Button>
        )
      }
    >
      <Loaded query={query}>
        {(page) => (page.data.length === 0 ? <Nothing /> : <List webhooks={page.data} />)}
      </Loaded>
      {isNew && <EditDialog onClose={() => setNew(false)} />}
    </Page>
  );
}

function List(props: { webhooks: Webhook[] }) {
  const details = useQueries({ queries: props.webhooks.map((webhook) => webhookQuery(webhook.id)) });
  const stats = new Map(details.map((detail) => [detail.data?.id, detail.data?.stats7d]));
  return (
    <Table
      label={words.title}
      rows={props.webhooks}
      id={(webhook) => webhook.id}
      columns={[
        {
          title: words.url,
          cell: (webhook) => (
            <div>
              <Link
                to="/webhooks/$webhookId"
                params={{ webhookId: webhook.id }}
                data-row
                className="font-medium break-all after:absolute after:inset-0 hover:underline"
              >
                <Name text={webhook.url} />
              </Link>
              {webhook.description && (
                <div className="text-soft">
                  <Name text={webhook.description} />
                </div>
              )}
            </div>
          ),
        },
        {
          title: words.events,
          isWideOnly: true,
          cell: (webhook) => <span className="text-soft">{eventsOf(webhook)}</span>,
        },
        {
          title: words.state,
          cell: (webhook) => {
            const { word, colour } = stateOf(webhook);
            return <span className={`font-medium ${colour}`}>{word}</span>;
          },
        },
        {
          title: words.success,
          isRight: true,
          cell: (webhook) => {
            const shown = stats.get(webhook.id);
            if (shown == null) return "";
            return shown.successShare === null ? (
              <span className="text-soft">{words.noAttempts}</span>
            ) : (
              percent(shown.successShare)
            );
          },
        },
        {
          title: words.p95,
          isRight: true,
          cell: (webhook) => {
            const ms = stats.get(webhook.id)?.p95Ms;
            return ms == null ? "" : <span className="whitespace-nowrap">{duration(ms)}</span>;
          },
        },
      ]}
    />
  );
}

export function eventsOf(webhook: Webhook): string {
  return webhook.events.includes("*") ? words.allEvents : webhook.events.join(", ");
}

function Nothing() {
  return (
    <Empty title={words.empty}>
      <p>{words.emptyText}</p>
      <div className="text-left">
        <Code
          language="bash"
          text={curl("POST", "/api/v1/webhooks", {
            url: "https://hooks.example.com/agentcontainer",
            events: ["task.finished", "task.failed"],
          })}
        />
      </div>
    </Empty>
  );
}
