import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { Webhook } from "@/api/types";
import { Name } from "@/content/Text";
import { CopyAs } from "@/parts/CopyAs";
import { Copyable } from "@/parts/Copyable";
import { duration } from "@/parts/format";
import { Facts, Page, Panel } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { curl, literal, python } from "@/parts/snippets";
import { Time } from "@/parts/Time";
import { Actions } from "./Actions";
import { Deliveries } from "./Deliveries";
import { DeliverySheet } from "./DeliverySheet";
import { percent, stateOf, webhookQuery } from "./queries";
import { Verify } from "./Verify";
import { eventsOf } from "./Webhooks";
import { words } from "./words";

const route = getRouteApi("/shell/webhooks/$webhookId");

export function WebhookPage() {
  const { webhookId } = route.useParams();
  const { delivery } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery({ ...webhookQuery(webhookId), refetchInterval: 30_000 });
  return (
    <Loaded query={query}>
      {(webhook) => (
        <Shown
          webhook={webhook}
          delivery={delivery}
          onClose={() => void navigate({ search: ({ delivery: _, ...rest }) => rest, resetScroll: false })}
        />
      )}
    </Loaded>
  );
}

function Shown(props: { webhook: Webhook; delivery?: string; onClose: () => void }) {
  const { webhook } = props;
  const mayAdminister = useMayAdminister();
  return (
    <Page
      title={webhook.url}
      actions={
        <>
          {mayAdminister && <Actions webhook={webhook} />}
          <CopyAs
            forms={{
              id: webhook.id,
              page: `/webhooks/${webhook.id}`,
              json: webhook,
              curl: curl("GET", `/api/v1/webhooks/${webhook.id}`),
              python: python(`webhook = client.webhooks.get(${literal(webhook.id)})`),
            }}
          />
        </>
      }
    >
      <div className="space-y-4">
        {webhook.disabledReason !== null && <Disabled webhook={webhook} />}
        <Panel>
          <div className="p-4">
            <State webhook={webhook} />
          </div>
        </Panel>
        <Deliveries webhook={webhook} />
        {webhook.taskId === null && (
          <Panel title={words.snippets}>
            <div className="p-3">
              <Verify />
            </div>
          </Panel>
        )}
      </div>
      {props.delivery && (
        <DeliverySheet webhookId={webhook.id} deliveryId={props.delivery} onClose={props.onClose} />
      )}
    </Page>
  );
}

function Disabled(props: { webhook: Webhook }) {
  const { disabledReason, disabledAt } = props.webhook;
  if (disabledReason === null) return null;
  return (
    <div role="status" className="rounded-lg bg-red-soft px-4 py-3">
      <p className="font-medium text-red">
        {words.reasons[disabledReason]} {disabledAt && <Time at={disabledAt} />}
      </p>
      <p>{words.afterOn}</p>
    </div>
  );
}

function State(props: { webhook: Webhook }) {
  const { webhook } = props;
  const { word, colour } = stateOf(webhook);
  const stats = webhook.stats7d;
  return (
    <Facts
      of={[
        [
          words.state,
          <span key="state" className={`font-medium ${colour}`}>
            {word}
          </span>,
        ],
        [words.events, eventsOf(webhook)],
        ...row(webhook.description !== null, words.description, <Name text={webhook.description ?? ""} />),
        [
          words.success,
          stats == null || stats.successShare === null
            ? words.noAttempts
            : `${percent(stats.successShare)} of ${words.attempts(stats.attempts)}` +
              (stats.p95Ms === null ? "" : ` · ${words.p95} ${duration(stats.p95Ms)}`),
        ],
        [
          words.lastSuccess,
          webhook.lastSuccessAt ? <Time key="last" at={webhook.lastSuccessAt} /> : words.never,
        ],
        ...row(webhook.failingSince !== null, words.failingSince, <Time at={webhook.failingSince ?? ""} />),
        ...row(
          webhook.previousSecretUntil !== null,
          words.previousSecret,
          <Time at={webhook.previousSecretUntil ?? ""} />,
        ),
        ...row(
          webhook.taskId !== null,
          words.ofTask,
          <Link
            to="/tasks/$taskId"
            params={{ taskId: webhook.taskId ?? "" }}
            className="font-mono text-[12px] text-accent hover:underline"
          >
            {webhook.taskId}
          </Link>,
        ),
        [words.made, <Time key="made" at={webhook.createdAt} />],
        ["Id", <Copyable key="id" text={webhook.id} />],
      ]}
    />
  );
}

function row(isShown: boolean, name: string, value: React.ReactNode): [string, React.ReactNode][] {
  return isShown ? [[name, value]] : [];
}
