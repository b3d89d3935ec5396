/** Loads and follows the log of one task: the end first, older pages on demand, then the stream. */
import { ApiError, api, data } from "@/api/client";
import { follow, type StreamState } from "@/api/sse";
import type { TaskEvent } from "@/api/types";
import { LogStore } from "./store";

const PAGE = 100;
const OLDER = 300;
const FLUSH_MS = 100;
const HIDDEN_MS = 60_000; // a hidden tab gives its connection back after this time

export type RunState = {
  stream: StreamState | "idle";
  isLoading: boolean;
  isLoadingOlder: boolean;
  hasOlder: boolean;
  /** There are newer events than those shown: the page was opened in the middle of the log. */
  hasNewer: boolean;
  error: ApiError | null;
};

export class RunLog {
  readonly store = new LogStore();
  state: RunState = {
    stream: "idle",
    isLoading: true,
    isLoadingOlder: false,
    hasOlder: false,
    hasNewer: false,
    error: null,
  };
  private readonly listeners = new Set<() => void>();
  private readonly stopped = new AbortController();
  private streaming: AbortController | null = null;
  private pending: TaskEvent[] = [];
  private deltas = "";
  private flushTimer: ReturnType<typeof setTimeout> | undefined;
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly taskId: string,
    private readonly onEnded: () => void,
  ) {
    addEventListener("online", () => this.streaming && this.stream(), { signal: this.stopped.signal });
    document.addEventListener("visibilitychange", () => this.onVisibility(), { signal: this.stopped.signal });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Load the end of the log, or the part around an event, and follow from there. */
  async open(around: number | null = null): Promise<void> {
    this.streaming?.abort();
    this.set({ isLoading: true, error: null, hasNewer: false });
    try {
      const events = around === null ? await this.tail() : await this.page(Math.max(0, around - 50), PAGE);
      this.store.clear();
      this.store.append(events);
      const isMiddle = around !== null && events.length === PAGE;
      this.set({ isLoading: false, hasOlder: (this.store.first ?? 1) > 1, hasNewer: isMiddle });
      if (!isMiddle) this.stream();
    } catch (fault) {
      this.fail(fault);
    }
  }

  async loadOlder(): Promise<void> {
    const first = this.store.first;
    if (!this.state.hasOlder || this.state.isLoadingOlder || first === null) return;
    this.set({ isLoadingOlder: true });
    try {
      const start = Math.max(0, first - 1 - OLDER);
      let events = await this.page(start, first - 1 - start);
      while (events.length > 0 && (events.at(-1)?.sequence ?? 0) < first - 1) {
        const rest = await this.page(
          events.at(-1)?.sequence ?? 0,
          first - 1 - (events.at(-1)?.sequence ?? 0),
        );
        if (rest.length === 0) break;
        events = [...events, ...rest];
      }
      this.store.prepend(events);
      this.set({ isLoadingOlder: false, hasOlder: events.length > 0 && (this.store.first ?? 1) > 1 });
    } catch (fault) {
      const isPurged = fault instanceof ApiError && fault.status === 410;
      if (isPurged) this.set({ isLoadingOlder: false, hasOlder: false });
      else this.set({ isLoadingOlder: false, error: asApiError(fault) });
    }
  }

  async loadNewer(): Promise<void> {
    if (!this.state.hasNewer || this.state.isLoadingOlder) return;
    this.set({ isLoadingOlder: true });
    try {
      const events = await this.page(this.store.last, OLDER);
      this.store.append(events);
      const hasNewer = events.length === OLDER;
      this.set({ isLoadingOlder: false, hasNewer });
      if (!hasNewer) this.stream();
    } catch (fault) {
      this.set({ isLoadingOlder: false, error: asApiError(fault) });
    }
  }

  stop(): void {
    this.stopped.abort();
    this.streaming?.abort();
    clearTimeout(this.flushTimer);
    clearTimeout(this.hiddenTimer);
  }

  private async tail(): Promise<TaskEvent[]> {
    const page = await data(
      api.GET("/api/v1/tasks/{taskId}/events", {
        params: { path: { taskId: this.taskId }, query: { order: "desc", limit: PAGE, fields: "summary" } },
      }),
    );
    return page.data.reverse();
  }

  private async page(after: number, limit: number): Promise<TaskEvent[]> {
    const page = await data(
      api.GET("/api/v1/tasks/{taskId}/events", {
        params: { path: { taskId: this.taskId }, query: { order: "asc", after, limit, fields: "summary" } },
      }),
    );
    return page.data;
  }

  private stream(): void {
    this.streaming?.abort();
    if (this.stopped.signal.aborted) return;
    const streaming = new AbortController();
    this.streaming = streaming;
    void follow({
      url: `/api/v1/tasks/${encodeURIComponent(this.taskId)}/events?stream=true`,
      lastId: String(this.store.last),
      signal: streaming.signal,
      onEvent: (event) => this.take(event.id, event.data),
      onState: (state, error) => {
        this.flush();
        this.set({ stream: state, ...(error ? { error } : {}) });
        if (state === "ended") this.onEnded();
      },
    });
  }

  private take(id: string | null, text: string): void {
    const event = JSON.parse(text) as TaskEvent | { type: "message.delta"; data: { content: string } };
    if (event.type === "message.delta") {
      this.deltas += event.data.content;
    } else if (id !== null) {
      if (event.type === "message.completed") this.deltas = "";
      this.pending.push(event);
    }
    this.flushTimer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  private flush(): void {
    clearTimeout(this.flushTimer);
    this.flushTimer = undefined;
    const [events, text] = [this.pending, this.deltas];
    this.pending = [];
    this.deltas = "";
    if (events.length) this.store.append(events);
    if (text) this.store.write(text);
  }

  private onVisibility(): void {
    clearTimeout(this.hiddenTimer);
    if (document.visibilityState === "hidden") {
      this.hiddenTimer = setTimeout(() => {
        this.streaming?.abort();
        this.streaming = null;
      }, HIDDEN_MS);
    } else if (
      this.streaming === null &&
      !this.state.isLoading &&
      !this.state.hasNewer &&
      this.state.stream !== "ended"
    ) {
      this.stream();
    }
  }

  private fail(fault: unknown): void {
    this.set({ isLoading: false, error: asApiError(fault) });
  }

  private set(change: Partial<RunState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

function asApiError(fault: unknown): ApiError {
  return fault instanceof ApiError ? fault : ApiError.offline();
}
