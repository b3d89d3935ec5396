import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { usage } from "@/api/usage";
import { storedOnes } from "@/upload/stored";

export const agentQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agents", agentId],
    queryFn: () => data(api.GET("/api/v1/agents/{agentId}", { params: { path: { agentId } } })),
  });

export const versionQuery = (agentId: string, versionId: string) =>
  queryOptions({
    queryKey: ["agents", agentId, "version", versionId],
    queryFn: () => {
      const params = { path: { agentId, versionId } };
      return data(api.GET("/api/v1/agents/{agentId}/versions/{versionId}", { params }));
    },
    staleTime: Number.POSITIVE_INFINITY, // a version never changes
  });

/** All versions, the newest first. */
export const versionsQuery = (agentId: string) =>
  infiniteQueryOptions({
    queryKey: ["agents", agentId, "version-pages"],
    queryFn: ({ pageParam }) => {
      const query = { limit: 50, order: "desc" as const, ...(pageParam ? { cursor: pageParam } : {}) };
      const params = { path: { agentId }, query };
      return data(api.GET("/api/v1/agents/{agentId}/versions", { params }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => (page.pageInfo.hasMore ? page.pageInfo.nextCursor : undefined),
  });

/** Names of the files of a version. */
export const filesQuery = (ids: readonly string[]) =>
  queryOptions({
    queryKey: ["stored-files", ids],
    queryFn: () => storedOnes(ids),
    staleTime: Number.POSITIVE_INFINITY,
  });

const WEEK_MS = 7 * 86_400_000;

export type Runs = { count: number; failedShare: number };

/** How many tasks each agent had in the last 7 days, and which share of those that ended has failed. */
export const runsQuery = queryOptions({
  queryKey: ["agents", "runs"],
  staleTime: 60_000,
  queryFn: async () => {
    const from = new Date(Date.now() - WEEK_MS).toISOString().slice(0, 10);
    const rows = await usage({ from, by: "agent" });
    return new Map<string, Runs>(rows.map((row) => [row.agentId ?? "", runsOf(row.tasks)]));
  },
});

type Counts = { finished: number; failed: number; cancelled: number; expired: number; live: number };

function runsOf({ finished, failed, cancelled, expired, live }: Counts): Runs {
  const ended = finished + failed + cancelled + expired;
  return { count: ended + live, failedShare: ended === 0 ? 0 : failed / ended };
}
