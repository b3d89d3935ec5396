import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, data, newKey } from "@/api/client";
import { taskQuery } from "@/api/queries";
import { isFinal, type Task } from "@/api/types";
import { Markdown } from "@/content/Markdown";
import { Name } from "@/content/Text";
import { useTitle } from "@/parts/Page";
import { ErrorNote, Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { TextArea } from "@/widgets/Fields";
import { words } from "./words";

const route = getRouteApi("/shell/conversations/$taskId");

export function Conversation() {
  const { taskId } = route.useParams();
  const query = useQuery(taskQuery(taskId));
  return <Loaded query={query}>{(task) => <Shown key={task.id} task={task} />}</Loaded>;
}

function Shown(props: { task: Task }) {
  const { task } = props;
  const mayWrite = useMayWrite();
  useTitle(task.title ?? words.untitled);
  const messages = useQuery({
    queryKey: ["task", task.id, "messages"],
    queryFn: () =>
      data(
        api.GET("/api/v1/conversations/{taskId}/messages", {
          params: { path: { taskId: task.id }, query: { order: "desc", limit: 100 } },
        }),
      ),
  });
  return (
    <div className="mx-auto max-w-3xl space-y-4 px-4 py-4">
      <header className="flex flex-wrap items-center gap-3">
        <h1 className="flex-1 text-lg font-semibold">
          <Name text={task.title ?? words.untitled} />
        </h1>
        <Status status={task.status} completion={task.completion} />
      </header>
      <Loaded query={messages}>
        {(page) => (
          <ol className="space-y-4">
            {[...page.data].reverse().map((message) => (
              <li key={message.id} className={message.role === "user" ? "rounded-lg bg-sunk p-3" : "p-3"}>
                <Markdown text={message.content} />
                <Time at={message.createdAt} className="text-[12px] text-soft" />
              </li>
            ))}
          </ol>
        )}
      </Loaded>
      {isFinal(task.status) ? (
        <p className="text-soft">{words.ended}</p>
      ) : (
        mayWrite && <Composer taskId={task.id} />
      )}
    </div>
  );
}

function Composer(props: { taskId: string }) {
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const [key, setKey] = useState(newKey);
  const send = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/conversations/{taskId}/messages", {
          params: { path: { taskId: props.taskId }, header: { "Idempotency-Key": key } },
          body: { content: text },
        }),
      ),
    onSuccess: async () => {
      setText("");
      setKey(newKey());
      await queries.invalidateQueries({ queryKey: ["task", props.taskId] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  return (
    <form onSubmit={submit} className="space-y-2">
      <TextArea
        isLabelHidden
        label={words.message}
        rows={3}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <ErrorNote error={send.error} />
      <Button kind="primary" type="submit" disabled={send.isPending || !text.trim()}>
        {words.send}
      </Button>
    </form>
  );
}
