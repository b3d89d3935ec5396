import { one, oneOf } from "@/shell/search";

export const STATUSES = ["pending", "failed", "delivered"] as const;

/** Of a webhook's page: the filter of its deliveries, and the delivery whose sheet is open. */
export type Search = { status?: (typeof STATUSES)[number]; delivery?: string };

export function validate(raw: Record<string, unknown>): Search {
  const status = oneOf(raw.status, STATUSES);
  const delivery = one(raw.delivery);
  return { ...(status ? { status } : {}), ...(delivery ? { delivery } : {}) };
}

export type ListSearch = { new?: "true" };

export function validateList(raw: Record<string, unknown>): ListSearch {
  return oneOf(raw.new, ["true"]) ? { new: "true" } : {};
}
