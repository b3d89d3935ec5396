/** The draft of the form with its uploads: kept in the browser, and sent as one task however often somebody presses. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";
import { api, data, newKey } from "@/api/client";
import { storedFiles, UploadQueue, unfinished } from "@/upload/queue";
import { sendFile } from "@/upload/send";
import { useUploads } from "@/upload/UploadList";
import { type Draft, newDraft, requestOf } from "./draft";
import { dropDraft, saveDraft } from "./storage";

const SAVE_MS = 300;

export function useDraft(name: string, initial: Draft) {
  const [own, setOwn] = useState(initial);
  const [isTouched, setTouched] = useState(false);
  const [isWaiting, setWaiting] = useState(false);
  const [queue] = useState(() => {
    const made = new UploadQueue(sendFile);
    made.addStored(initial.files);
    return made;
  });
  const uploads = useUploads(queue);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const isDone = useRef(false);
  const draft = { ...own, files: storedFiles(uploads) };
  const request = requestOf(draft);
  const dispatch = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/agents/{agentId}/tasks", {
          params: { path: { agentId: draft.agentId }, header: { "Idempotency-Key": draft.key } },
          body: request.body,
        }),
      ),
    onSuccess: async (task) => {
      isDone.current = true;
      dropDraft(name);
      void queries.invalidateQueries({ queryKey: ["live"] });
      if ("id" in task) await navigate({ to: "/tasks/$taskId", params: { taskId: task.id } });
    },
  });
  const { reset, mutate, isError } = dispatch;
  const change = useCallback(
    (difference: Partial<Draft>) => {
      setOwn((old) => ({ ...old, ...difference }));
      setTouched(true);
      if (isError) reset();
    },
    [isError, reset],
  );
  const serial = JSON.stringify(draft);
  const hasMoreFiles = draft.files.length !== initial.files.length;
  useEffect(() => {
    if (!isTouched && !hasMoreFiles) return;
    const timer = setTimeout(() => {
      if (!isDone.current) saveDraft(name, JSON.parse(serial) as Draft);
    }, SAVE_MS);
    return () => clearTimeout(timer);
  }, [serial, name, isTouched, hasMoreFiles]);
  useEffect(() => () => queue.stop(), [queue]);
  const pending = unfinished(uploads);
  const hasFailed = uploads.some(({ state }) => state === "failed");
  useEffect(() => {
    if (!isWaiting || pending > 0) return;
    setWaiting(false);
    if (!hasFailed) mutate();
  }, [isWaiting, pending, hasFailed, mutate]);
  return {
    draft,
    request,
    change,
    queue,
    dispatch,
    pending,
    hasFailed,
    isWaiting,
    isSaved: isTouched || hasMoreFiles,
    /** Send the draft, as soon as its files are stored. */
    submit: () => (pending > 0 ? setWaiting(true) : mutate()),
    stopWaiting: () => setWaiting(false),
    /** Send it as another task, although an earlier version of it was taken. */
    renewKey: () => change({ key: newKey() }),
    discard: () => {
      dropDraft(name);
      queue.clear();
      reset();
      setOwn(newDraft(own.agentId, own.versionId));
      setTouched(false);
    },
  };
}
