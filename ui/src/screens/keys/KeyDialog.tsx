/** Makes an API key or changes one; a new one is shown once. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, data, faultOf, newKey } from "@/api/client";
import { agentsQuery } from "@/api/queries";
import type { ApiKey } from "@/api/types";
import { Name } from "@/content/Text";
import { CopyLine, ShownOnce } from "@/parts/ShownOnce";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { SelectField, TextField } from "@/widgets/Fields";
import { words } from "./words";

const DAY_MS = 86_400_000;
const KEEP = "keep";

export function KeyDialog(props: { apiKey?: ApiKey; onClose: () => void }) {
  const { apiKey } = props;
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const [name, setName] = useState(apiKey?.name ?? "");
  const [role, setRole] = useState<ApiKey["role"]>(apiKey?.role ?? "member");
  const [expiry, setExpiry] = useState(apiKey?.expiresAt ? KEEP : "never");
  const [agentIds, setAgentIds] = useState<string[] | null>(apiKey?.agentIds ?? null);
  const [costPerDay, setCostPerDay] = useState(shown(apiKey?.limits.costUsdPerDay));
  const [tasksPerDay, setTasksPerDay] = useState(shown(apiKey?.limits.tasksPerDay));
  const [maxPriority, setMaxPriority] = useState(shown(apiKey?.limits.maxPriority));
  const send = useMutation({
    mutationFn: async () => {
      const header = { "Idempotency-Key": key };
      const body = {
        name: name.trim(),
        role,
        agentIds,
        ...(expiry === KEEP ? {} : { expiresAt: expiresAt(expiry) }),
        limits: {
          costUsdPerDay: limit(costPerDay),
          tasksPerDay: limit(tasksPerDay),
          maxPriority: limit(maxPriority),
        },
      };
      if (apiKey) {
        const path = { keyId: apiKey.id };
        await data(api.PATCH("/api/v1/api-keys/{keyId}", { params: { path, header }, body }));
        return null;
      }
      return (await data(api.POST("/api/v1/api-keys", { params: { header }, body }))).key;
    },
    onSuccess: (made) => {
      void queries.invalidateQueries({ queryKey: ["api-keys"] });
      if (made === null) props.onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  if (send.data)
    return (
      <ShownOnce title={words.shownTitle} onClose={props.onClose}>
        <CopyLine label={words.key} text={send.data} />
        <CopyLine label={words.exportLine} text={`export AGENTCONTAINER_API_KEY=${send.data}`} />
      </ShownOnce>
    );
  return (
    <Dialog isOpen onClose={props.onClose} title={apiKey ? words.change : words.newKey}>
      <form onSubmit={submit} className="space-y-4">
        <TextField
          label={words.name}
          hint={words.nameHint}
          required
          autoFocus
          maxLength={100}
          value={name}
          error={faultOf(send.error, "name")}
          onChange={(event) => setName(event.target.value)}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <SelectField
            label={words.role}
            value={role}
            onChange={(event) => setRole(event.target.value as ApiKey["role"])}
          >
            <option value="member">{words.roleChoices.member}</option>
            <option value="viewer">{words.roleChoices.viewer}</option>
          </SelectField>
          <SelectField
            label={words.expires}
            value={expiry}
            error={faultOf(send.error, "expiresAt")}
            onChange={(event) => setExpiry(event.target.value)}
          >
            {apiKey?.expiresAt && <option value={KEEP}>{words.keepExpiry}</option>}
            {["never", "30", "90", "365"].map((days) => (
              <option key={days} value={days}>
                {words.expiries[days]}
              </option>
            ))}
          </SelectField>
          <TextField
            label={words.costPerDay}
            type="number"
            min={0}
            step="any"
            placeholder={words.noLimit}
            value={costPerDay}
            error={faultOf(send.error, "limits.costUsdPerDay")}
            onChange={(event) => setCostPerDay(event.target.value)}
          />
          <TextField
            label={words.tasksPerDay}
            type="number"
            min={0}
            placeholder={words.noLimit}
            value={tasksPerDay}
            error={faultOf(send.error, "limits.tasksPerDay")}
            onChange={(event) => setTasksPerDay(event.target.value)}
          />
          <TextField
            label={words.maxPriority}
            type="number"
            min={0}
            placeholder={words.noLimit}
            value={maxPriority}
            error={faultOf(send.error, "limits.maxPriority")}
            onChange={(event) => setMaxPriority(event.target.value)}
          />
        </div>
        <Agents chosen={agentIds} onChange={setAgentIds} />
        <ErrorNote error={send.error} />
        <div className="flex justify-end">
          <Button type="submit" kind="primary" disabled={send.isPending || agentIds?.length === 0}>
            {apiKey ? words.save : words.create}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Agents(props: { chosen: string[] | null; onChange: (ids: string[] | null) => void }) {
  const agents = useQuery(agentsQuery);
  const { chosen } = props;
  const toggle = (id: string) =>
    props.onChange(chosen?.includes(id) ? chosen.filter((each) => each !== id) : [...(chosen ?? []), id]);
  return (
    <fieldset>
      <legend className="mb-1 font-medium">{words.agents}</legend>
      {[words.allAgents, words.someAgents].map((label, index) => (
        <label key={label} className="mr-4 inline-flex items-center gap-2">
          <input
            type="radio"
            name="agents"
            checked={(chosen === null) === (index === 0)}
            onChange={() => props.onChange(index === 0 ? null : [])}
          />
          {label}
        </label>
      ))}
      {chosen !== null && (
        <div className="mt-2 max-h-40 space-y-1 overflow-y-auto rounded-md border border-line p-2">
          {agents.data?.data.map((agent) => (
            <label key={agent.id} className="flex items-center gap-2">
              <input type="checkbox" checked={chosen.includes(agent.id)} onChange={() => toggle(agent.id)} />
              <Name text={agent.name} />
            </label>
          ))}
        </div>
      )}
    </fieldset>
  );
}

function shown(value: number | null | undefined): string {
  return value == null ? "" : String(value);
}

function limit(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}

function expiresAt(days: string): string | null {
  return days === "never" ? null : new Date(Date.now() + Number(days) * DAY_MS).toISOString();
}
