import { queryOptions } from "@tanstack/react-query";
import { api, data } from "@/api/client";

const REFRESH_MS = 5000;

export const healthQuery = queryOptions({
  queryKey: ["installation", "health"],
  queryFn: () => data(api.GET("/api/v1/installation/health")),
  refetchInterval: REFRESH_MS,
});

export const runnersQuery = queryOptions({
  queryKey: ["installation", "runners"],
  queryFn: () => data(api.GET("/api/v1/installation/runners")),
  refetchInterval: REFRESH_MS,
});

export const queueQuery = queryOptions({
  queryKey: ["installation", "queue"],
  queryFn: () => data(api.GET("/api/v1/installation/queue")),
  refetchInterval: REFRESH_MS,
});

export const settingsQuery = queryOptions({
  queryKey: ["installation", "settings"],
  queryFn: () => data(api.GET("/api/v1/installation/settings")),
});
