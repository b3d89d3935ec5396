import { Meter } from "@base-ui/react/meter";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Ban, MessageSquarePlus, RotateCcw, Sunrise } from "lucide-react";
import { type FormEvent, useState, useSyncExternalStore } from "react";
import { api, data, newKey } from "@/api/client";
import { agentsQuery } from "@/api/queries";
import { isFinal, type Task } from "@/api/types";
import { Name } from "@/content/Text";
import type { RunLog } from "@/log/run";
import { Money, Tokens } from "@/parts/Amounts";
import { CopyAs } from "@/parts/CopyAs";
import { Copyable } from "@/parts/Copyable";
import { money, short } from "@/parts/format";
import { ErrorNote } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { curl, python, quoted } from "@/parts/snippets";
import { Elapsed } from "@/parts/Time";
import { useShortcut } from "@/shell/keys";
import { Button, buttonLook } from "@/widgets/Button";
import { Confirm, Dialog } from "@/widgets/Dialogs";
import { TextArea } from "@/widgets/Fields";
import { words } from "./words";

export function Header(props: { task: Task; log: RunLog | null }) {
  const { task } = props;
  const agents = useQuery(agentsQuery);
  const version = agents.data?.data.find((agent) => agent.currentVersion.id === task.agentVersionId)
    ?.currentVersion.number;
  return (
    <header className="space-y-1.5 border-b border-line bg-panel px-4 py-3">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <h1 className="min-w-0 flex-1 basis-64 text-lg leading-snug font-semibold">
          <Name text={task.title ?? words.untitled} />
        </h1>
        <Actions task={task} />
      </div>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 text-[13px] text-soft">
        <Status status={task.status} completion={task.completion} />
        <Link to="/agents/$agentId" params={{ agentId: task.agentId }} className="hover:underline">
          <Name text={task.agentName} />
          {version ? ` · v${version}` : ""}
        </Link>
        <span>{task.execution.model}</span>
        {props.log && <Attempt log={props.log} />}
        {task.startedAt && <Elapsed from={task.startedAt} to={task.completedAt} />}
        <Money usd={task.costUsd} />
        <span>
          <Tokens count={task.tokenUsage.input_tokens} label={words.tokens.input} />
          {" / "}
          <Tokens count={task.tokenUsage.output_tokens} label={words.tokens.output} />
          {task.tokenUsage.cached_input_tokens > 0 && (
            <>
              {" / "}
              <Tokens count={task.tokenUsage.cached_input_tokens} label={words.tokens.cached} />
            </>
          )}
        </span>
        <Copyable text={task.id} />
      </div>
      {task.budget && <BudgetBar budget={task.budget} />}
    </header>
  );
}

/** How much of the budget is used: of dollars, tokens, or of both the one that is nearer to its end. */
function BudgetBar(props: { budget: NonNullable<Task["budget"]> }) {
  const { maxCostUsd, maxTokens, usedUsd, usedTokens } = props.budget;
  const share = Math.max(maxCostUsd ? usedUsd / maxCostUsd : 0, maxTokens ? usedTokens / maxTokens : 0);
  const percent = Math.min(100, Math.round(share * 100));
  const texts = [
    maxCostUsd !== null ? `${money(usedUsd)} / ${money(maxCostUsd)}` : "",
    maxTokens !== null ? `${short(usedTokens)} / ${short(maxTokens)} ${words.tokens.all}` : "",
  ].filter(Boolean);
  if (texts.length === 0) return null;
  return (
    <div className="flex items-center gap-2 text-[13px] text-soft">
      {words.budget}
      <Meter.Root value={percent} aria-label={words.budget} className="w-40">
        <Meter.Track className="h-1.5 overflow-hidden rounded bg-sunk">
          <Meter.Indicator className={percent >= 80 ? "h-full bg-amber" : "h-full bg-accent"} />
        </Meter.Track>
      </Meter.Root>
      <span className="tabular-nums">{texts.join(" · ")}</span>
    </div>
  );
}

/** Shown from the second attempt on. */
function Attempt(props: { log: RunLog }) {
  const { store } = props.log;
  const attempt = useSyncExternalStore(store.subscribe, () => store.attempt);
  return attempt > 1 ? <span>{words.attempt(attempt)}</span> : null;
}

function Actions(props: { task: Task }) {
  const { task } = props;
  const mayWrite = useMayWrite();
  const [dialog, setDialog] = useState<"cancel" | "message" | "wake" | null>(null);
  const isOpen = mayWrite && !isFinal(task.status);
  const canSteer = isOpen && task.mode === "autonomous" && task.status !== "hibernating";
  useShortcut("x", () => {
    if (isOpen) setDialog("cancel");
  });
  const close = () => setDialog(null);
  return (
    <div className="flex flex-wrap gap-2">
      {canSteer && (
        <Button onClick={() => setDialog("message")}>
          <MessageSquarePlus aria-hidden size={14} /> {words.message}
        </Button>
      )}
      {isOpen && task.status === "hibernating" && (
        <Button kind="primary" onClick={() => setDialog("wake")}>
          <Sunrise aria-hidden size={14} /> {words.wake}
        </Button>
      )}
      {isOpen && (
        <Button kind="danger" onClick={() => setDialog("cancel")}>
          <Ban aria-hidden size={14} /> {words.cancel}
        </Button>
      )}
      {mayWrite && (
        <Link to="/tasks/new" search={{ from: task.id }} className={buttonLook()}>
          <RotateCcw aria-hidden size={14} /> {words.again}
        </Link>
      )}
      <CopyAs
        forms={{
          id: task.id,
          page: `/tasks/${task.id}`,
          json: task,
          curl: curl("GET", `/api/v1/tasks/${task.id}`),
          python: python(
            `task = client.tasks.get(${JSON.stringify(task.id)})`,
            "print(task.status, task.result)",
          ),
          cli: `agentcontainer show ${quoted(task.id)}`,
        }}
      />
      <CancelDialog task={task} isOpen={dialog === "cancel"} onClose={close} />
      <TextDialog kind="message" task={task} isOpen={dialog === "message"} onClose={close} />
      <TextDialog kind="wake" task={task} isOpen={dialog === "wake"} onClose={close} />
    </div>
  );
}

function CancelDialog(props: { task: Task; isOpen: boolean; onClose: () => void }) {
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: () =>
      data(api.POST("/api/v1/tasks/{taskId}/cancel", { params: { path: { taskId: props.task.id } } })),
    onSuccess: async () => {
      props.onClose();
      await queries.invalidateQueries({ queryKey: ["task", props.task.id] });
    },
  });
  return (
    <Confirm
      isOpen={props.isOpen}
      onClose={props.onClose}
      title={words.cancelTitle(props.task.title ?? props.task.id)}
      action={words.cancelAction}
      isBusy={cancel.isPending}
      onConfirm={() => cancel.mutate()}
    >
      <p>{words.cancelText}</p>
      <ErrorNote error={cancel.error} />
    </Confirm>
  );
}

/** A message to a running agent, or the one that wakes a task. Its key stays the same until it was taken. */
function TextDialog(props: { kind: "message" | "wake"; task: Task; isOpen: boolean; onClose: () => void }) {
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const [key, setKey] = useState(newKey);
  const isWake = props.kind === "wake";
  const taskId = props.task.id;
  const send = useMutation({
    mutationFn: async () => {
      const params = { path: { taskId }, header: { "Idempotency-Key": key } };
      if (!isWake) {
        await data(api.POST("/api/v1/tasks/{taskId}/messages", { params, body: { content: text } }));
        return;
      }
      const message = text.trim();
      const body = message ? ({ kind: "message", message } as const) : ({ kind: "external_wake" } as const);
      await data(api.POST("/api/v1/tasks/{taskId}/wake", { params, body }));
    },
    onSuccess: async () => {
      setText("");
      setKey(newKey());
      props.onClose();
      await queries.invalidateQueries({ queryKey: ["task", taskId] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  return (
    <Dialog
      isOpen={props.isOpen}
      onClose={props.onClose}
      title={isWake ? words.wakeTitle : words.messageTitle}
    >
      <form onSubmit={submit} className="space-y-3">
        <TextArea
          label={words.message}
          hint={isWake ? words.wakeHint : words.messageHint}
          rows={5}
          autoFocus
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.metaKey || event.ctrlKey))
              event.currentTarget.form?.requestSubmit();
          }}
        />
        <ErrorNote error={send.error} />
        <div className="flex justify-end">
          <Button kind="primary" type="submit" disabled={send.isPending || (!isWake && !text.trim())}>
            {isWake ? words.wake : words.send}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
