import { Link } from "@tanstack/react-router";
import type { FileEntry } from "@/api/types";
import { words } from "./words";

/** Where a file comes from: an upload, or a task. */
export function Origin(props: { file: FileEntry }) {
  const { taskId } = props.file;
  if (taskId === null) return <span className="text-soft">{words.uploaded}</span>;
  return (
    <Link
      to="/tasks/$taskId"
      params={{ taskId }}
      className="relative z-10 font-mono text-[12px] text-accent hover:underline"
    >
      {taskId}
    </Link>
  );
}
