/** One sentence for each event of the platform. */
import type { TaskEvent } from "@/api/types";
import { bytes, duration, money, short } from "@/parts/format";

/** `asleepMs`: how long a task that was woken had slept. */
export function sentenceOf(event: TaskEvent, asleepMs: number | null = null): string {
  switch (event.type) {
    case "task.created":
      return "Dispatched.";
    case "task.claimed":
      return `A runner has taken the task (attempt ${event.data.attempt}).`;
    case "task.started":
      return `Attempt ${event.data.attempt}`;
    case "task.requeued":
      return `Back in the queue: ${event.data.reason}`;
    case "task.checkpointed":
      return `Checkpoint saved: ${bytes(event.data.sizeBytes)}, paused for ${duration(event.data.pausedMs)}.`;
    case "task.hibernated":
      return `Asleep: ${event.data.message}`;
    case "task.woken":
      return `${asleepMs === null ? "Woken" : `Asleep for ${duration(asleepMs)}, woken`} ${WOKEN[event.data.kind] ?? event.data.kind}`;
    case "task.awaiting_input":
      return "Waits for your next message.";
    case "task.finished":
      return event.data.completion === "incomplete" ? "Finished, incomplete." : "Finished.";
    case "task.failed":
      return `Failed: ${event.data.error ?? event.data.errorCode ?? ""}`;
    case "task.cancelled":
      return "Cancelled.";
    case "task.expired":
      return "Expired: no message came in time.";
    case "turn.started":
      return `Turn ${event.data.turnNumber}`;
    case "turn.completed":
      return `Turn ${event.data.turnNumber} is complete.`;
    case "turn.failed":
      return `Turn failed: ${event.data.error}`;
    case "file.shared":
      return `Shared the file ${event.data.filename} (${bytes(event.data.sizeBytes)}).`;
    case "finish.rejected":
      return `finish was refused: ${event.data.message}`;
    case "egress.refused":
      return `Refused a connection to ${event.data.host}${event.data.port ? `:${event.data.port}` : ""}. The rule that would allow it: ${event.data.rule}`;
    case "agent.reminded":
      return `The agent was reminded: ${REMINDED[event.data.reason] ?? event.data.reason}`;
    case "model.retried":
      return `The model's provider is asked again (${event.data.attempt}): ${event.data.error}`;
    case "budget.warning":
      return `The task has used ${event.data.percent} % of its budget: ${spent(event.data)}.`;
    case "budget.reached":
      return `The budget is used up: ${spent(event.data)}.${event.data.onReached === "pause" ? " The task waits until it is raised." : ""}`;
    case "context.compacting":
      return "The conversation with the model is being summarised.";
    case "context.compacted":
      return event.data.tokensBefore === null
        ? "The summary failed; the conversation with the model is unchanged."
        : "The conversation with the model was summarised.";
    case "context.lost":
      return "The agent's memory was lost; it got its instructions again.";
    default:
      return event.type;
  }
}

function spent(data: { usedUsd: number; usedTokens: number }): string {
  return `${money(data.usedUsd)}, ${short(data.usedTokens)} tokens`;
}

const WOKEN: Record<string, string> = {
  message: "by a message",
  external_wake: "by a program",
  deadline: "because its time had come",
  link: "by a wake link",
  provider: "to try the provider again",
};

const REMINDED: Record<string, string> = {
  no_finish: "it had stopped without calling finish",
  message: "a message had arrived",
  soft_finish: "its time is nearly over",
  budget: "its budget is nearly used up",
};
