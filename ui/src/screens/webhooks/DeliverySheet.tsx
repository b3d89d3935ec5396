/** One delivery: the request, every attempt, and what the receiver answered. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { RotateCw } from "lucide-react";
import { useState } from "react";
import { api, data, newKey } from "@/api/client";
import type { WebhookAttempt, WebhookDeliveryDetails } from "@/api/types";
import { JsonTree } from "@/content/JsonTree";
import { Name, Output } from "@/content/Text";
import { CopyAs } from "@/parts/CopyAs";
import { Copyable } from "@/parts/Copyable";
import { duration } from "@/parts/format";
import { Facts } from "@/parts/Page";
import { ErrorNote, Loaded } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { curl, literal, python } from "@/parts/snippets";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { statusOf } from "./queries";
import { words } from "./words";

type Ids = { webhookId: string; deliveryId: string };

export function DeliverySheet(props: Ids & { onClose: () => void }) {
  const { webhookId, deliveryId } = props;
  const query = useQuery({
    queryKey: ["webhooks", webhookId, "delivery", deliveryId],
    queryFn: () =>
      data(
        api.GET("/api/v1/webhooks/{webhookId}/deliveries/{deliveryId}", {
          params: { path: { webhookId, deliveryId } },
        }),
      ),
    refetchInterval: ({ state }) => (state.data?.status === "pending" ? 2000 : false),
  });
  return (
    <Dialog
      side
      isOpen
      onClose={props.onClose}
      title={query.data ? <Name text={query.data.eventType} /> : words.delivery}
    >
      <Loaded query={query}>{(delivery) => <Shown delivery={delivery} />}</Loaded>
    </Dialog>
  );
}

function Shown(props: { delivery: WebhookDeliveryDetails }) {
  const { delivery } = props;
  const { word, colour } = statusOf(delivery);
  const route = `/api/v1/webhooks/${delivery.webhookId}/deliveries/${delivery.id}`;
  return (
    <div className="space-y-5">
      <div className="flex flex-wrap gap-2">
        <Resend delivery={delivery} />
        <CopyAs
          forms={{
            id: delivery.id,
            page: `/webhooks/${delivery.webhookId}?delivery=${delivery.id}`,
            json: delivery,
            curl: curl("GET", route),
            python: python(
              `delivery = client.webhooks.delivery(${literal(delivery.webhookId)}, ${literal(delivery.id)})`,
            ),
          }}
        />
      </div>
      <Facts
        of={[
          [
            words.columns.status,
            <span key="status" className={`font-medium ${colour}`}>
              {word}
            </span>,
          ],
          [words.columns.time, <Time key="time" at={delivery.createdAt} />],
          ...(delivery.nextAttemptAt
            ? ([[words.nextAttempt, <Time key="next" at={delivery.nextAttemptAt} />]] as [
                string,
                React.ReactNode,
              ][])
            : []),
          ...(delivery.taskId
            ? ([
                [
                  words.columns.task,
                  <Link
                    key="task"
                    to="/tasks/$taskId"
                    params={{ taskId: delivery.taskId }}
                    className="font-mono text-[12px] text-accent hover:underline"
                  >
                    {delivery.taskId}
                  </Link>,
                ],
              ] as [string, React.ReactNode][])
            : []),
        ]}
      />
      <section className="space-y-2">
        <h3 className="font-semibold">{words.request}</h3>
        <Facts
          of={[
            ["webhook-id", <Copyable key="id" text={delivery.eventId} />],
            [
              "webhook-timestamp",
              <span key="at" className="text-soft">
                {words.perAttempt}
              </span>,
            ],
            [
              "webhook-signature",
              <span key="signature" className="text-soft">
                v1,… {words.perAttempt}
              </span>,
            ],
            ["content-type", "application/json"],
          ]}
        />
        <div className="rounded-md bg-sunk p-3">
          <JsonTree value={delivery.body} depth={2} />
        </div>
      </section>
      <section className="space-y-2">
        <h3 className="font-semibold">{words.tries}</h3>
        {delivery.attempts.length === 0 && <p className="text-soft">{words.noTries}</p>}
        <ol className="space-y-3">
          {delivery.attempts.toReversed().map((attempt) => (
            <Attempt key={attempt.startedAt} attempt={attempt} />
          ))}
        </ol>
      </section>
    </div>
  );
}

function Attempt(props: { attempt: WebhookAttempt }) {
  const { attempt } = props;
  return (
    <li className="rounded-md border border-line p-3">
      <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className={`font-medium ${attempt.error === null ? "text-green" : "text-red"}`}>
          {words.status(attempt.status)}
        </span>
        <Time at={attempt.startedAt} className="text-soft" />
        <span className="text-soft">{duration(attempt.durationMs)}</span>
      </p>
      {attempt.error !== null && <Name text={attempt.error} className="block" />}
      {attempt.answer === null ? (
        <p className="text-soft">{words.answerHidden}</p>
      ) : (
        <Output text={attempt.answer || words.noAnswer} className="mt-2 max-h-80 rounded bg-sunk p-2" />
      )}
    </li>
  );
}

function Resend(props: { delivery: WebhookDeliveryDetails }) {
  const { delivery } = props;
  const queries = useQueryClient();
  const [key, setKey] = useState(newKey);
  const resend = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/webhooks/{webhookId}/deliveries/{deliveryId}/resend", {
          params: {
            path: { webhookId: delivery.webhookId, deliveryId: delivery.id },
            header: { "Idempotency-Key": key },
          },
          body: {},
        }),
      ),
    onSuccess: () => {
      setKey(newKey());
      void queries.invalidateQueries({ queryKey: ["webhooks", delivery.webhookId] });
    },
  });
  if (!useMayAdminister()) return null;
  return (
    <>
      <Button
        size="small"
        disabled={resend.isPending || delivery.status === "pending"}
        onClick={() => resend.mutate()}
      >
        <RotateCw aria-hidden size={14} /> {words.resend}
      </Button>
      <ErrorNote error={resend.error} />
    </>
  );
}
