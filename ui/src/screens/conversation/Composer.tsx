import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Paperclip, X } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { api, data, newKey } from "@/api/client";
import { modelsQuery } from "@/api/queries";
import type { Task } from "@/api/types";
import { upload } from "@/api/upload";
import { Name } from "@/content/Text";
import { useVersion } from "@/log/hooks";
import type { RunLog } from "@/log/run";
import { duration } from "@/parts/format";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { SelectField, TextArea } from "@/widgets/Fields";
import { lastOf } from "./last";
import { words } from "./words";

type Attached = {
  key: string;
  name: string;
  percent: number;
  fileId: string | null;
  error: unknown;
  stop: AbortController;
};

const WARN_MS = 600_000;

export function Composer(props: { task: Task; log: RunLog }) {
  const { task, log } = props;
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const [model, setModel] = useState("");
  const [files, setFiles] = useState<Attached[]>([]);
  const [key, setKey] = useState(newKey);
  useVersion(log.store);
  const last = lastOf(log.store);
  const change = (of: string, part: Partial<Attached>) =>
    setFiles((old) => old.map((file) => (file.key === of ? { ...file, ...part } : file)));
  const add = (chosen: Iterable<File>) => {
    for (const file of chosen) {
      const attached: Attached = {
        key: newKey(),
        name: file.name,
        percent: 0,
        fileId: null,
        error: null,
        stop: new AbortController(),
      };
      setFiles((old) => [...old, attached]);
      upload(file, attached.stop.signal, ({ sentBytes, totalBytes }) =>
        change(attached.key, { percent: Math.round((100 * sentBytes) / Math.max(totalBytes, 1)) }),
      ).then(
        (fileId) => change(attached.key, { fileId, percent: 100 }),
        (error: unknown) => change(attached.key, { error }),
      );
    }
  };
  const send = useMutation({
    mutationFn: (content: string) =>
      data(
        api.POST("/api/v1/conversations/{taskId}/messages", {
          params: { path: { taskId: task.id }, header: { "Idempotency-Key": key } },
          body: {
            content,
            ...(files.length ? { inputFileIds: files.flatMap((file) => file.fileId ?? []) } : {}),
            ...(model ? { overrides: { model } } : {}),
          },
        }),
      ),
    onSuccess: async () => {
      setText("");
      setFiles([]);
      setKey(newKey());
      await queries.invalidateQueries({ queryKey: ["task", task.id] });
    },
  });
  const isReady = text.trim() !== "" && files.every((file) => file.fileId !== null) && !send.isPending;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) send.mutate(text);
  };
  const again = task.status === "awaiting_input" && last.hasFailed ? last.userText : null;
  return (
    <form
      onSubmit={submit}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        add(event.dataTransfer.files);
      }}
      className="mx-auto w-full max-w-3xl space-y-2 border-t border-line p-3"
    >
      {again !== null && (
        <p className="flex flex-wrap items-center gap-2 rounded-md bg-red-soft px-3 py-1.5">
          <span className="text-red">
            {words.failedTurn}: {task.error ?? task.errorCode}
          </span>
          <Button size="small" onClick={() => send.mutate(again)} disabled={send.isPending}>
            {words.sendAgain}
          </Button>
        </p>
      )}
      <Expiry at={task.status === "awaiting_input" ? last.expiresAt : null} />
      <Attachments
        files={files}
        onRemove={(file) => setFiles((old) => old.filter((each) => each !== file))}
      />
      <TextArea
        isLabelHidden
        label={words.message}
        placeholder={words.placeholder}
        rows={3}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onPaste={(event) => {
          if (event.clipboardData.files.length) add(event.clipboardData.files);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey))
            event.currentTarget.form?.requestSubmit();
        }}
      />
      <ErrorNote error={send.error} />
      <div className="flex items-center gap-2">
        <FileButton onChoose={add} />
        <ModelChoice task={task} value={model} onChange={setModel} />
        <span className="flex-1" />
        <Button kind="primary" type="submit" disabled={!isReady}>
          {words.send}
        </Button>
      </div>
    </form>
  );
}

function FileButton(props: { onChoose: (files: Iterable<File>) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        className="hidden"
        onChange={(event) => {
          props.onChoose(event.target.files ?? []);
          event.target.value = "";
        }}
      />
      <Button onClick={() => input.current?.click()} aria-label={words.attach}>
        <Paperclip aria-hidden size={15} />
      </Button>
    </>
  );
}

function Attachments(props: { files: Attached[]; onRemove: (file: Attached) => void }) {
  return props.files.map((file) => (
    <div key={file.key} className="flex items-center gap-2 text-[13px]">
      <Name text={file.name} className="min-w-0 truncate" />
      {file.error ? (
        <ErrorNote error={file.error} />
      ) : (
        <span className="text-soft">{words.uploading(file.percent)}</span>
      )}
      <button
        type="button"
        aria-label={words.remove(file.name)}
        className="inline-flex size-6 items-center justify-center rounded hover:bg-sunk"
        onClick={() => {
          file.stop.abort();
          props.onRemove(file);
        }}
      >
        <X aria-hidden size={13} />
      </button>
    </div>
  ));
}

function ModelChoice(props: { task: Task; value: string; onChange: (model: string) => void }) {
  const models = useQuery(modelsQuery);
  const offered = models.data?.data.filter((model) => model.provider === props.task.execution.provider) ?? [];
  if (offered.length === 0) return null;
  return (
    <SelectField
      isLabelHidden
      label={words.model}
      value={props.value}
      onChange={(event) => props.onChange(event.target.value)}
    >
      <option value="">{props.task.execution.model}</option>
      {offered.map((model) => (
        <option key={model.id}>{model.id}</option>
      ))}
    </SelectField>
  );
}

/** Counts down the last ten minutes before the conversation expires. */
function Expiry(props: { at: string | null }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = props.at === null ? Number.POSITIVE_INFINITY : Date.parse(props.at) - now;
  if (left > WARN_MS || left < 0) return null;
  return (
    <p role="status" className="text-amber">
      {words.expires(duration(Math.floor(left / 1000) * 1000))}
    </p>
  );
}
