/** Asks the API what a draft would run with, a moment after somebody stopped typing. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, api, data, type FieldFault } from "@/api/client";
import type { components } from "@/api/schema";
import type { DispatchRequest } from "@/api/types";

export type Trial = components["schemas"]["DispatchTrial"];
const PAUSE_MS = 400;

export function useTrial(agentId: string, body: DispatchRequest, isSendable: boolean) {
  const asked = useSettled(JSON.stringify({ agentId, body }), PAUSE_MS);
  const settled = JSON.parse(asked) as { agentId: string; body: DispatchRequest };
  return useQuery({
    queryKey: ["trial", asked],
    enabled: isSendable && settled.agentId !== "" && settled.body.instructions.trim() !== "",
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    gcTime: 60_000,
    queryFn: async ({ signal }) => {
      const { body } = settled;
      const params = { path: { agentId: settled.agentId }, query: { dryRun: true } };
      const trial = await data(api.POST("/api/v1/agents/{agentId}/tasks", { params, body, signal }));
      return trial as Trial;
    },
  });
}

/** The faults of fields, and the sentences that are about no field. */
export function faultsOf(
  trial: Trial | undefined,
  errors: unknown[],
): { fields: FieldFault[]; general: string[] } {
  const fields: FieldFault[] = [];
  const general: string[] = [];
  for (const problem of trial?.problems ?? []) {
    if (problem.path !== null) fields.push({ path: problem.path, message: problem.message });
    else if (problem.code !== "insufficient_balance") general.push(problem.message);
  }
  for (const error of errors) if (error instanceof ApiError) fields.push(...error.details);
  return { fields: unique(fields), general };
}

function unique(faults: FieldFault[]): FieldFault[] {
  return [...new Map(faults.map((fault) => [`${fault.path}\0${fault.message}`, fault])).values()];
}

function useSettled(value: string, ms: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
