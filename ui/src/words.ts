/** The sentences that several screens share. Each screen's own are in its `words.ts`. */
import type { TaskErrorCode, TaskStatus } from "./api/types";

export const statusWords: Record<TaskStatus, string> = {
  pending: "pending",
  running: "running",
  awaiting_input: "your turn",
  hibernating: "asleep",
  finished: "finished",
  failed: "failed",
  cancelled: "cancelled",
  expired: "expired",
};

export const words = {
  product: "AgentContainer",
  loading: "Loading…",
  retry: "Try again",
  copy: "Copy",
  copied: "Copied",
  copyFailed: "The browser does not allow copying here.",
  back: "Go back",
  close: "Close",
  more: "Show more",
  shownOnce: "This is shown once. Store it now: nobody, also not the operator, can show it again.",
  stored: "I have stored it",
  requestId: "Request id",
  asOf: (time: string) => `as of ${time}`,
  offline:
    "No connection. What you see is what was there before; it is refreshed as soon as the server answers.",
  reconnecting: "Reconnecting…",
  notFound: "There is nothing here that your account can see. It may have been deleted.",
  notFoundTitle: "Not found",
  backToOverview: "Go to the overview",
  noRights: "Your key may read, but not change. Ask a member of your account.",
  operatorOnly: "Only operators of this installation see this page.",
  crash: "The page failed. Reload it; if it happens again, report this message.",
  skip: "Skip to the content",
  connection: { live: "Live", reconnecting: "Reconnecting", offline: "Offline" },
  nav: {
    overview: "Overview",
    tasks: "Tasks",
    conversations: "Conversations",
    agents: "Agents",
    files: "Files",
    usage: "Usage",
    webhooks: "Webhooks",
    keys: "Keys",
    installation: "Installation",
    newTask: "New task",
    more: "More",
  },
  theme: { system: "Theme of the system", light: "Light", dark: "Dark" },
  logOut: "Log out",
  account: "Account",
  role: { viewer: "viewer: may read", member: "member" } as Record<string, string>,
  palette: {
    title: "Command palette",
    placeholder: "Go to, find a task by its id or title…",
    none: "Nothing matches.",
  },
  keys: {
    title: "Keyboard",
    switch: "Single-key shortcuts",
    list: [
      ["⌘K or Ctrl K", "command palette"],
      ["?", "this list"],
      [
        "g then t c a f u w k i o",
        "tasks, conversations, agents, files, usage, webhooks, keys, installation, overview",
      ],
      ["c", "new task"],
      ["/", "search"],
      ["j, k", "next, previous row"],
      ["Enter", "open the row"],
      ["[ and ]", "previous and next task of the list you came from"],
      ["e", "expand or fold the row"],
      ["f", "follow the newest event"],
      ["x", "cancel the task (asks first)"],
      ["y", "copy the link of this page"],
      ["t", "exact times"],
    ] as [string, string][],
  },
  diff: {
    removed: "removed:",
    added: "added:",
    folded: (count: number) => `… ${count} lines are the same`,
  },
  showAll: "Show all",
  download: "Download",
  cut: (shown: string, total: string) => `The first ${shown} of ${total}.`,
  image: (alt: string) => `[image: ${alt || "without a description"}]`,
} as const;

/** What the error code of a task means, whether it cost something, and what to do next. */
export const errorMeanings: Record<TaskErrorCode, { means: string; next: string; isFree?: true }> = {
  agent_crashed: {
    means: "The agent process crashed.",
    next: "Run it again; if it crashes again, look at the last events.",
  },
  agent_stopped: {
    means: "The agent stopped without calling finish.",
    next: "Say in the instructions what counts as done, and run it again.",
  },
  budget_exceeded: { means: "The task reached its budget.", next: "Run it again with a larger budget." },
  checkpoint_corrupt: {
    isFree: true,
    means: "The stored workspace could not be read back.",
    next: "Run it again from the start.",
  },
  checkpoint_failed: {
    means: "The workspace could not be stored.",
    next: "Ask the operator to look at the object store.",
  },
  disk_full: {
    means: "The workspace is full.",
    next: "Let the agent write less, or ask the operator for larger workspaces.",
  },
  event_log_full: { means: "The task reported too many events.", next: "Split the work into several tasks." },
  image_unavailable: {
    isFree: true,
    means: "The container image could not be fetched.",
    next: "Check the image's name and registry in the agent.",
  },
  infrastructure_error: {
    isFree: true,
    means: "The platform failed, not the agent.",
    next: "Run it again; the operator's log has the details.",
  },
  input_unavailable: {
    isFree: true,
    means: "An input file or repository could not be read.",
    next: "Check the inputs, and run it again.",
  },
  interrupted: { means: "You stopped this turn.", next: "Send another message." },
  max_runtime_exceeded: { means: "The task ran longer than it may.", next: "Run it again with more time." },
  out_of_memory: { means: "The container ran out of memory.", next: "Let the agent work on smaller pieces." },
  provider_error: {
    means: "The model's provider refused the requests.",
    next: "Check the provider's words below, your key and its credit.",
  },
  provider_key_missing: {
    isFree: true,
    means: "There is no key for the model's provider.",
    next: "Store a key.",
  },
  too_many_processes: {
    means: "The agent started too many processes.",
    next: "Let it do less at the same time.",
  },
};
