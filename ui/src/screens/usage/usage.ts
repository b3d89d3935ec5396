import { api, data } from "@/api/client";
import type { operations } from "@/api/schema";
import type { UsageEntry } from "@/api/types";

type Query = NonNullable<operations["getUsage"]["parameters"]["query"]>;
type UsagePage = { data: UsageEntry[]; pageInfo: { hasMore: boolean; nextCursor: string | null } };

/** Sums as JSON; with `format=csv` the same route answers a file, which `save` takes. */
export function readUsage(query: Omit<Query, "format">): Promise<UsagePage> {
  return data(api.GET("/api/v1/usage", { params: { query } })) as Promise<UsagePage>;
}
