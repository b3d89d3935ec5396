import { api, data } from "./client";
import type { components, operations } from "./schema";

export type UsageEntry = components["schemas"]["UsageEntry"];
type Query = Omit<NonNullable<operations["getUsage"]["parameters"]["query"]>, "format">;

/** A page of sums. The route can also answer with CSV, which is not asked for here. */
export async function usage(query: Query): Promise<UsageEntry[]> {
  const page = await data(api.GET("/api/v1/usage", { params: { query } }));
  return typeof page === "string" ? [] : page.data;
}
