import { Link } from "@tanstack/react-router";
import type { TaskSummary } from "@/api/types";
import { Name } from "@/content/Text";
import { words } from "./words";

export function TaskLink(props: { task: TaskSummary; className?: string }) {
  const { task } = props;
  return (
    <Link
      to={task.mode === "conversation" ? "/conversations/$taskId" : "/tasks/$taskId"}
      params={{ taskId: task.id }}
      data-row
      className={`hover:underline ${props.className ?? ""}`}
    >
      <Name text={task.title ?? words.untitled} />
    </Link>
  );
}
