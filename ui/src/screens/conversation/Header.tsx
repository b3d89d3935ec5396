import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleStop, Forward, Square } from "lucide-react";
import { type FormEvent, useState } from "react";
import { api, data } from "@/api/client";
import { isFinal, type Task } from "@/api/types";
import { Name } from "@/content/Text";
import { Money } from "@/parts/Amounts";
import { CopyAs } from "@/parts/CopyAs";
import { ErrorNote } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { curl, python, quoted } from "@/parts/snippets";
import { Button } from "@/widgets/Button";
import { Confirm, Dialog } from "@/widgets/Dialogs";
import { TextArea } from "@/widgets/Fields";
import { words } from "./words";

export function Header(props: { task: Task }) {
  const { task } = props;
  return (
    <header className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line bg-panel px-4 py-2.5">
      <div className="min-w-0 flex-1 basis-56">
        <h1 className="truncate text-lg font-semibold">
          <Name text={task.title ?? words.untitled} />
        </h1>
        <div className="flex flex-wrap items-center gap-x-4 text-[13px] text-soft">
          <Status status={task.status} completion={task.completion} />
          <Link to="/agents/$agentId" params={{ agentId: task.agentId }} className="hover:underline">
            <Name text={task.agentName} />
          </Link>
          <span>{task.execution.model}</span>
          <Money usd={task.costUsd} />
        </div>
      </div>
      <Actions task={task} />
    </header>
  );
}

function Actions(props: { task: Task }) {
  const { task } = props;
  const queries = useQueryClient();
  const isOpen = useMayWrite() && !isFinal(task.status);
  const [dialog, setDialog] = useState<"end" | "handOff" | null>(null);
  const refresh = () => queries.invalidateQueries({ queryKey: ["task", task.id] });
  const path = { taskId: task.id };
  const interrupt = useMutation({
    mutationFn: () => data(api.POST("/api/v1/conversations/{taskId}/interrupt", { params: { path } })),
    onSettled: refresh,
  });
  const end = useMutation({
    mutationFn: () => data(api.POST("/api/v1/conversations/{taskId}/end", { params: { path } })),
    onSuccess: () => {
      setDialog(null);
      return refresh();
    },
  });
  return (
    <div className="flex flex-wrap gap-2">
      {isOpen && task.turnStatus === "running" && (
        <Button onClick={() => interrupt.mutate()} disabled={interrupt.isPending}>
          <CircleStop aria-hidden size={14} /> {words.interrupt}
        </Button>
      )}
      {isOpen && task.status === "awaiting_input" && (
        <Button onClick={() => setDialog("handOff")}>
          <Forward aria-hidden size={14} /> {words.handOff}
        </Button>
      )}
      {isOpen && (
        <Button kind="danger" onClick={() => setDialog("end")}>
          <Square aria-hidden size={14} /> {words.end}
        </Button>
      )}
      <CopyAs
        forms={{
          id: task.id,
          page: `/conversations/${task.id}`,
          json: task,
          curl: curl("POST", `/api/v1/conversations/${task.id}/messages`, { content: "…" }),
          python: python(`conversation = client.conversations.get(${JSON.stringify(task.id)})`),
          cli: `agentcontainer chat ${quoted(task.id)}`,
        }}
      />
      <Confirm
        isOpen={dialog === "end"}
        onClose={() => setDialog(null)}
        title={words.endTitle(task.title ?? task.id)}
        action={words.end}
        isBusy={end.isPending}
        onConfirm={() => end.mutate()}
      >
        <p>{words.endText}</p>
        <ErrorNote error={end.error} />
      </Confirm>
      <HandOff task={task} isOpen={dialog === "handOff"} onClose={() => setDialog(null)} onDone={refresh} />
    </div>
  );
}

function HandOff(props: { task: Task; isOpen: boolean; onClose: () => void; onDone: () => Promise<void> }) {
  const [text, setText] = useState("");
  const handOff = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/conversations/{taskId}/handoff", {
          params: { path: { taskId: props.task.id } },
          body: text.trim() ? { message: text.trim() } : {},
        }),
      ),
    onSuccess: () => {
      props.onClose();
      return props.onDone();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    handOff.mutate();
  };
  return (
    <Dialog isOpen={props.isOpen} onClose={props.onClose} title={words.handOffTitle}>
      <form onSubmit={submit} className="space-y-3">
        <TextArea
          label={words.message}
          hint={words.handOffHint}
          rows={4}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <ErrorNote error={handOff.error} />
        <div className="flex justify-end">
          <Button kind="primary" type="submit" disabled={handOff.isPending}>
            {words.handOff}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
