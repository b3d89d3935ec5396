/** The queries that several screens share. A key that begins with `live` is refreshed by every entry of the feed. */
import { infiniteQueryOptions, QueryClient, queryOptions } from "@tanstack/react-query";
import { ApiError, api, data } from "./client";
import type { operations } from "./schema";

export type TaskFilters = Omit<
  NonNullable<operations["listTasks"]["parameters"]["query"]>,
  "limit" | "cursor" | "order" | "fields"
>;

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        gcTime: 10 * 60_000,
        networkMode: "always",
        retry: (count, error) =>
          count < 2 && error instanceof ApiError && error.isTransient && !error.isOffline,
        throwOnError: false,
      },
      mutations: { networkMode: "always" },
    },
  });
}

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: () => data(api.GET("/session")),
  staleTime: 60_000,
});

export const accountQuery = queryOptions({
  queryKey: ["live", "account"],
  queryFn: () => data(api.GET("/api/v1/account")),
});

export const agentsQuery = queryOptions({
  queryKey: ["agents"],
  queryFn: () => data(api.GET("/api/v1/agents", { params: { query: { limit: 100 } } })),
  staleTime: 60_000,
});

export const capabilitiesQuery = queryOptions({
  queryKey: ["capabilities"],
  queryFn: () => data(api.GET("/api/v1/capabilities")),
  staleTime: 5 * 60_000,
});

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: () => data(api.GET("/api/v1/models", { params: { query: { limit: 1000 } } })),
  staleTime: 5 * 60_000,
});

export const taskQuery = (taskId: string) =>
  queryOptions({
    queryKey: ["task", taskId],
    queryFn: () => data(api.GET("/api/v1/tasks/{taskId}", { params: { path: { taskId } } })),
  });

export const outputsQuery = (taskId: string) =>
  queryOptions({
    queryKey: ["task", taskId, "files"],
    queryFn: () =>
      data(api.GET("/api/v1/tasks/{taskId}/files", { params: { path: { taskId }, query: { limit: 100 } } })),
  });

export const fileQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["file", fileId],
    queryFn: () => data(api.GET("/api/v1/files/{fileId}", { params: { path: { fileId } } })),
    staleTime: 5 * 60_000,
  });

export const tasksQuery = (filters: TaskFilters, limit = 50) =>
  infiniteQueryOptions({
    queryKey: ["tasks", filters, limit],
    queryFn: ({ pageParam }) =>
      data(
        api.GET("/api/v1/tasks", {
          params: {
            query: { ...filters, fields: "summary", limit, ...(pageParam ? { cursor: pageParam } : {}) },
          },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => (page.pageInfo.hasMore ? page.pageInfo.nextCursor : undefined),
  });

/** A short list of tasks that follows the feed. */
export const liveTasksQuery = (name: string, filters: TaskFilters, limit: number) =>
  queryOptions({
    queryKey: ["live", name, filters, limit],
    queryFn: () =>
      data(
        api.GET("/api/v1/tasks", { params: { query: { ...filters, fields: "summary" as const, limit } } }),
      ),
  });
