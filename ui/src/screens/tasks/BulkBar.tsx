import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "@/api/client";
import { isFinal, type TaskSummary } from "@/api/types";
import { copy } from "@/parts/copy";
import { Button } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { words as shared } from "@/words";
import { words } from "./words";

/** What can be done with the selected tasks. */
export function BulkBar(props: { tasks: TaskSummary[]; onDone: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [isAsking, setAsking] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const open = props.tasks.filter((task) => !isFinal(task.status));
  const cancelAll = async () => {
    setBusy(true);
    let failed = 0;
    for (const task of open) {
      try {
        await data(api.POST("/api/v1/tasks/{taskId}/cancel", { params: { path: { taskId: task.id } } }));
      } catch {
        failed += 1;
      }
    }
    setBusy(false);
    setAsking(false);
    notify(words.cancelled(open.length - failed, failed));
    await queries.invalidateQueries({ queryKey: ["tasks"] });
    props.onDone();
  };
  const copyIds = async () => {
    const isCopied = await copy(props.tasks.map((task) => task.id).join("\n"));
    notify(isCopied ? shared.copied : shared.copyFailed);
  };
  const only = props.tasks.length === 1 ? props.tasks[0] : undefined;
  return (
    <div
      role="toolbar"
      aria-label={words.selected(props.tasks.length)}
      className="mb-3 flex flex-wrap items-center gap-2 rounded-lg bg-accent-soft px-3 py-2"
    >
      <span className="font-medium">{words.selected(props.tasks.length)}</span>
      <span className="flex-1" />
      <Button kind="danger" disabled={open.length === 0} onClick={() => setAsking(true)}>
        {words.cancel}
      </Button>
      <Button
        disabled={!only}
        onClick={() => only && void navigate({ to: "/tasks/new", search: { from: only.id } })}
      >
        {words.again}
      </Button>
      <Button onClick={() => void copyIds()}>{words.copyIds}</Button>
      <Button kind="quiet" onClick={props.onDone}>
        {words.deselect}
      </Button>
      <Confirm
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        title={words.cancelTitle(open.length)}
        action={words.cancelAction}
        isBusy={isBusy}
        onConfirm={() => void cancelAll()}
      >
        {words.cancelText}
      </Confirm>
    </div>
  );
}
