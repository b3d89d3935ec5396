/** The models and providers that a form offers. */
import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { capabilitiesQuery } from "@/api/queries";
import type { components } from "@/api/schema";
import { short } from "@/parts/format";

export type OfferedModel = components["schemas"]["OfferedModel"];
export const OFFLINE = "offline";

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: () => data(api.GET("/api/v1/models", { params: { query: { limit: 1000 } } })),
  staleTime: 10 * 60_000,
});

export const providerKeysQuery = queryOptions({
  queryKey: ["provider-keys"],
  queryFn: () => data(api.GET("/api/v1/provider-keys", { params: { query: { limit: 100 } } })),
});

/** The platform's providers, the offline script where it is offered, and the account's own endpoints. */
export function useProviders(): string[] {
  const capabilities = useQuery(capabilitiesQuery).data;
  const keys = useQuery(providerKeysQuery).data;
  const own = keys?.data.filter((key) => key.baseUrl !== null).map((key) => key.provider) ?? [];
  const offline = capabilities && !capabilities.switchedOff.includes("offline_model") ? [OFFLINE] : [];
  return [...new Set([...(capabilities?.providers ?? []), ...own, ...offline])];
}

/** What a model costs and takes, in a line; null where nothing is known. */
export function describeModel(model: OfferedModel): string {
  const window = model.contextWindow === null ? "" : `${short(model.contextWindow)} tokens`;
  const price =
    model.price === null ? "" : `$${model.price.input} in, $${model.price.output} out per million`;
  return [window, price].filter(Boolean).join(" · ");
}
