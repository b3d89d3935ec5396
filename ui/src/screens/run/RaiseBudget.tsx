/** Raises the budget of a task that has used it up, so that it goes on. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, data, newKey } from "@/api/client";
import type { Task } from "@/api/types";
import { ErrorNote } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Button } from "@/widgets/Button";
import { TextField } from "@/widgets/Fields";
import { words } from "./words";

export function RaiseBudget(props: { task: Task; budget: NonNullable<Task["budget"]> }) {
  const { task, budget } = props;
  const queries = useQueryClient();
  const mayWrite = useMayWrite();
  const [usd, setUsd] = useState(doubled(budget.maxCostUsd));
  const [tokens, setTokens] = useState(doubled(budget.maxTokens));
  const [key] = useState(newKey);
  const raise = useMutation({
    mutationFn: () =>
      data(
        api.PATCH("/api/v1/tasks/{taskId}", {
          params: { path: { taskId: task.id }, header: { "Idempotency-Key": key } },
          body: {
            budget: {
              ...(budget.maxCostUsd === null ? {} : { maxCostUsd: Number(usd) }),
              ...(budget.maxTokens === null ? {} : { maxTokens: Number(tokens) }),
            },
          },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["task", task.id] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    raise.mutate();
  };
  if (!mayWrite) return null;
  return (
    <form onSubmit={submit} className="flex flex-wrap items-end gap-2">
      {budget.maxCostUsd !== null && (
        <TextField
          label={words.budgetUsd}
          inputMode="decimal"
          value={usd}
          onChange={(event) => setUsd(event.target.value)}
        />
      )}
      {budget.maxTokens !== null && (
        <TextField
          label={words.budgetTokens}
          inputMode="numeric"
          value={tokens}
          onChange={(event) => setTokens(event.target.value)}
        />
      )}
      <Button kind="primary" type="submit" disabled={raise.isPending}>
        {words.raise}
      </Button>
      <ErrorNote error={raise.error} />
    </form>
  );
}

function doubled(limit: number | null): string {
  return limit === null ? "" : String(limit * 2);
}
