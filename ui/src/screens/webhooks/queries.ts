import { queryOptions } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import type { Webhook, WebhookDelivery } from "@/api/types";
import { words } from "./words";

export const webhooksQuery = queryOptions({
  queryKey: ["webhooks"],
  queryFn: () => data(api.GET("/api/v1/webhooks", { params: { query: { limit: 100 } } })),
});

export const webhookQuery = (webhookId: string) =>
  queryOptions({
    queryKey: ["webhooks", webhookId],
    queryFn: () => data(api.GET("/api/v1/webhooks/{webhookId}", { params: { path: { webhookId } } })),
  });

export type Look = { word: string; colour: string };

/** What a webhook does now, in a word. */
export function stateOf(webhook: Webhook): Look {
  const { states } = words;
  switch (webhook.disabledReason) {
    case null:
      return webhook.failingSince === null
        ? { word: states.on, colour: "text-green" }
        : { word: states.failing, colour: "text-amber" };
    case "failing":
      return { word: states.failingTooLong, colour: "text-red" };
    default:
      return { word: states[webhook.disabledReason], colour: "text-red" };
  }
}

/** The status of a delivery. A pending one that was tried before is failing. */
export function statusOf(delivery: WebhookDelivery): Look {
  const { statuses } = words;
  if (delivery.status === "delivered") return { word: statuses.delivered, colour: "text-green" };
  if (delivery.status === "failed") return { word: statuses.failed, colour: "text-red" };
  return delivery.attemptCount > 0
    ? { word: statuses.retrying, colour: "text-amber" }
    : { word: statuses.pending, colour: "text-grey" };
}

/** A share as a whole percentage that is 0 or 100 only if it is exactly that. */
export function percent(share: number): string {
  const value = share * 100;
  if (value > 99 && value < 100) return `${(Math.floor(value * 10) / 10).toFixed(1)} %`;
  return value > 0 && value < 1 ? "< 1 %" : `${Math.round(value)} %`;
}
