import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, data, newKey } from "@/api/client";
import { agentsQuery, taskQuery } from "@/api/queries";
import type { Agent, Task } from "@/api/types";
import { Page } from "@/parts/Page";
import { ErrorNote, Loaded, NoRights } from "@/parts/States";
import { useMayWrite } from "@/parts/session";
import { Button } from "@/widgets/Button";
import { SelectField, TextArea } from "@/widgets/Fields";
import { words as shared } from "@/words";
import { words } from "./words";

const route = getRouteApi("/shell/tasks/new");

export function NewTask() {
  const { from, agent } = route.useSearch();
  const agents = useQuery(agentsQuery);
  const source = useQuery({ ...taskQuery(from ?? ""), enabled: from !== undefined });
  if (!useMayWrite()) return <NoRights>{shared.noRights}</NoRights>;
  return (
    <Page title={words.title}>
      <Loaded query={agents}>
        {(page) =>
          from === undefined ? (
            <Form agents={page.data} agentId={agent ?? null} source={null} />
          ) : (
            <Loaded query={source}>
              {(task) => <Form key={task.id} agents={page.data} agentId={task.agentId} source={task} />}
            </Loaded>
          )
        }
      </Loaded>
    </Page>
  );
}

function Form(props: { agents: Agent[]; agentId: string | null; source: Task | null }) {
  const usable = props.agents.filter((agent) => agent.archivedAt === null);
  const [agentId, setAgentId] = useState(props.agentId ?? usable[0]?.id ?? "");
  const [instructions, setInstructions] = useState(props.source?.instructions ?? "");
  const [key] = useState(newKey);
  const navigate = useNavigate();
  const dispatch = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/agents/{agentId}/tasks", {
          params: { path: { agentId }, header: { "Idempotency-Key": key } },
          body: {
            instructions,
            ...(props.source?.inputFileIds?.length ? { inputFileIds: props.source.inputFileIds } : {}),
          },
        }),
      ),
    onSuccess: (task) => {
      if ("id" in task) void navigate({ to: "/tasks/$taskId", params: { taskId: task.id } });
    },
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    dispatch.mutate();
  };
  return (
    <form onSubmit={send} className="max-w-2xl space-y-4">
      <SelectField label={words.agent} value={agentId} onChange={(event) => setAgentId(event.target.value)}>
        {usable.map((agent) => (
          <option key={agent.id} value={agent.id}>
            {agent.name} · v{agent.currentVersion.number}
          </option>
        ))}
      </SelectField>
      <TextArea
        label={words.instructions}
        rows={10}
        required
        value={instructions}
        onChange={(event) => setInstructions(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey))
            event.currentTarget.form?.requestSubmit();
        }}
      />
      <ErrorNote error={dispatch.error} />
      <Button kind="primary" type="submit" disabled={dispatch.isPending || !instructions.trim()}>
        {words.dispatch}
      </Button>
    </form>
  );
}
