/** The status of a task: icon and word; the colour only repeats them. */
import { Ban, Check, Clock, Contrast, Hourglass, type LucideIcon, Moon, PenLine, X } from "lucide-react";
import { memo } from "react";
import type { TaskStatus } from "@/api/types";
import { statusWords } from "@/words";

const LOOK: Record<TaskStatus, [LucideIcon, string]> = {
  pending: [Clock, "text-grey"],
  running: [Contrast, "text-blue"],
  awaiting_input: [PenLine, "text-violet"],
  hibernating: [Moon, "text-indigo"],
  finished: [Check, "text-green"],
  failed: [X, "text-red"],
  cancelled: [Ban, "text-grey"],
  expired: [Hourglass, "text-grey"],
};

export const Status = memo(function Status(props: { status: TaskStatus; completion?: string | null }) {
  const [Icon, colour] = LOOK[props.status];
  const isIncomplete = props.completion === "incomplete";
  return (
    <span
      className={`inline-flex items-center gap-1.5 whitespace-nowrap font-medium ${isIncomplete ? "text-amber" : colour}`}
    >
      <Icon aria-hidden size={15} className={props.status === "running" ? "pulse-slow" : ""} />
      {isIncomplete ? "incomplete" : statusWords[props.status]}
    </span>
  );
});
