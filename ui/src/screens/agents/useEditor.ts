/** The state of an agent's editor: what is edited, on which version, and what saving it would change. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, api, data, newKey } from "@/api/client";
import type { Agent } from "@/api/types";
import { visible } from "@/content/text";
import { type StoredFile, storedFiles, UploadQueue, unfinished } from "@/upload/queue";
import { sendFile } from "@/upload/send";
import { storedOnes } from "@/upload/stored";
import { useUploads } from "@/upload/UploadList";
import { notify } from "@/widgets/Toasts";
import { type AgentForm, changeOf, formOf, NEW_AGENT, rebased } from "./form";
import { agentQuery } from "./queries";
import { words } from "./words";

export type Files = { references: StoredFile[]; skills: StoredFile[] };

/** `agent` null: a new one, which may begin as a copy (`initial`). */
export function useEditor(agent: Agent | null, files: Files, initial: AgentForm | null) {
  const queries = useQueryClient();
  const [base, setBase] = useState<AgentForm>(() => baseOf(agent, files));
  const [versionId, setVersionId] = useState(agent?.currentVersion.id ?? null);
  const [typed, setTyped] = useState<AgentForm>(initial ?? base);
  const [key, setKey] = useState(newKey);
  const [hadConflict, setConflict] = useState(false);
  const references = useQueue(files.references);
  const skills = useQueue(files.skills);
  const form = { ...typed, references: idsOf(references.uploads), skills: idsOf(skills.uploads) };
  const { change, faults } = changeOf(base, form);
  const isDirty = Object.keys(change).length > 0 || faults.length > 0;
  const all = [...references.uploads, ...skills.uploads];

  /** Go on from the agent as it is now, with the edits on top. */
  const adopt = async (newer: Agent) => {
    const next = formOf(newer);
    const merged = rebased(form, base, next);
    await Promise.all([references.become(merged.references), skills.become(merged.skills)]);
    setBase(next);
    setTyped(merged);
    setVersionId(newer.currentVersion.id);
    setKey(newKey());
  };
  // Another tab or person saved a version: without edits the editor shows it, with edits the screen asks.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a new version is of interest
  useEffect(() => {
    if (agent !== null && agent.currentVersion.id !== versionId && !isDirty) void adopt(agent);
  }, [agent?.currentVersion.id]);

  const save = useMutation({
    mutationFn: async () => {
      const params = { header: { "Idempotency-Key": key } };
      if (agent === null)
        return data(api.POST("/api/v1/agents", { params, body: { ...change, name: form.name.trim() } }));
      const path = { agentId: agent.id };
      const body = { ...change, ifCurrentVersionId: versionId };
      return data(api.PATCH("/api/v1/agents/{agentId}", { params: { ...params, path }, body }));
    },
    onSuccess: async (saved) => {
      setBase(formOf(saved));
      setTyped(formOf(saved));
      setVersionId(saved.currentVersion.id);
      setKey(newKey());
      setConflict(false);
      queries.setQueryData(agentQuery(saved.id).queryKey, saved);
      await queries.invalidateQueries({ queryKey: ["agents"] });
      const isNew = saved.currentVersion.id !== versionId;
      if (agent === null) notify(words.created(visible(saved.name)));
      else notify(isNew ? words.savedAs(saved.currentVersion.number) : words.savedInPlace);
    },
    onError: async (error) => {
      if (agent === null || !(error instanceof ApiError) || error.status !== 409) return;
      const newer = await queries.fetchQuery({ ...agentQuery(agent.id), staleTime: 0 });
      if (newer.currentVersion.id === versionId) return; // the name is taken
      await adopt(newer);
      setConflict(true);
    },
  });
  return {
    form,
    change,
    faults: save.error instanceof ApiError ? [...faults, ...save.error.details] : faults,
    isDirty,
    hadConflict,
    isBehind: agent !== null && agent.currentVersion.id !== versionId,
    pending: unfinished(all),
    hasFailed: all.some(({ state }) => state === "failed"),
    queues: { references: references.queue, skills: skills.queue },
    save,
    adopt,
    set: (difference: Partial<AgentForm>) => {
      setTyped({ ...typed, ...difference });
      if (save.isError) save.reset();
    },
    discard: () => {
      setTyped(base);
      setConflict(false);
      void references.become(base.references);
      void skills.become(base.skills);
      save.reset();
    },
  };
}

export type Editor = ReturnType<typeof useEditor>;

/** Files that are no longer stored are left out from the start, so that they do not count as an edit. */
function baseOf(agent: Agent | null, files: Files): AgentForm {
  if (agent === null) return NEW_AGENT;
  return {
    ...formOf(agent),
    references: files.references.map(({ id }) => id),
    skills: files.skills.map(({ id }) => id),
  };
}

function useQueue(files: StoredFile[]) {
  const [queue] = useState(() => {
    const made = new UploadQueue(sendFile);
    made.addStored(files);
    return made;
  });
  useEffect(() => () => queue.stop(), [queue]);
  const become = async (ids: readonly string[]) => {
    const shown = queue.uploads();
    if (shown.length === ids.length && ids.every((id, place) => shown[place]?.fileId === id)) return;
    const { files } = await storedOnes(ids);
    queue.clear();
    queue.addStored(files);
  };
  return { queue, uploads: useUploads(queue), become };
}

function idsOf(uploads: ReturnType<typeof useUploads>): string[] {
  return storedFiles(uploads).map(({ id }) => id);
}
