/** The account's feed. One tab of the browser holds the stream and tells the others; lists are refreshed by it.
 *
 * Web Locks need a secure context (https, or this machine). Without them each tab polls its lists while it is visible. */
import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { api, data } from "./client";
import { follow, type StreamState } from "./sse";
import type { FeedEntry } from "./types";

export type Connection = "live" | "reconnecting" | "offline";
type Said = { kind: "entry"; entry: FeedEntry } | { kind: "state"; state: Connection } | { kind: "ask" };

const POLL_MS = 5000;
const OFFLINE_AFTER_MS = 5000;
const RESTART_MS = 1000;

export class Feed {
  state: Connection = "reconnecting";
  private readonly listeners = new Set<() => void>();
  private readonly entryListeners = new Set<(entry: FeedEntry) => void>();
  private readonly stopped = new AbortController();
  private readonly channel = new BroadcastChannel("agentcontainer-feed");
  private position: number | null = null;
  private connection: AbortController | null = null;
  private isLeader = false;
  private wasLive = false;
  /** Data from before this time may lack what the stream does not repeat. */
  private knownSince = 0;
  private offlineTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly queries: QueryClient) {
    this.channel.onmessage = (event: MessageEvent<Said>) => this.hear(event.data);
    addEventListener("offline", () => this.goOffline(), { signal: this.stopped.signal });
    if (navigator.locks === undefined) this.poll();
    else this.lead();
  }

  stop(): void {
    this.stopped.abort();
    this.channel.close();
    clearTimeout(this.offlineTimer);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Be told every entry that comes from now on. */
  onEntry(listener: (entry: FeedEntry) => void): () => void {
    this.entryListeners.add(listener);
    return () => this.entryListeners.delete(listener);
  }

  private lead(): void {
    this.channel.postMessage({ kind: "ask" } satisfies Said);
    navigator.locks
      .request("agentcontainer-feed", { signal: this.stopped.signal }, async () => {
        this.isLeader = true;
        await this.stream();
      })
      .catch(() => {}); // stopped while another tab leads
  }

  private async stream(): Promise<void> {
    while (this.position === null && !this.stopped.signal.aborted) {
      try {
        const newest = await data(
          api.GET("/api/v1/events", { params: { query: { order: "desc", limit: 1 } } }),
        );
        this.position = newest.data[0]?.position ?? 0;
        this.knownSince = Date.now();
      } catch {
        this.onStream("reconnecting");
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    while (!this.stopped.signal.aborted) {
      this.connection = new AbortController();
      await follow({
        url: "/api/v1/events?stream=true",
        lastId: String(this.position),
        signal: AbortSignal.any([this.stopped.signal, this.connection.signal]),
        onState: (state) => this.onStream(state),
        onEvent: (event) => {
          const entry = JSON.parse(event.data) as FeedEntry;
          this.channel.postMessage({ kind: "entry", entry } satisfies Said);
          this.take(entry);
        },
      });
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
    }
  }

  /** The browser has no network. A stream may look alive for long after that, so it is begun anew. */
  private goOffline(): void {
    this.setState("offline");
    this.connection?.abort();
  }

  private onStream(state: StreamState): void {
    if (state === "live") {
      this.announce("live");
    } else if (this.state === "live") {
      this.announce("reconnecting");
      this.offlineTimer = setTimeout(() => this.announce("offline"), OFFLINE_AFTER_MS);
    }
  }

  private announce(state: Connection): void {
    if (state === "live") clearTimeout(this.offlineTimer);
    this.setState(state);
    this.channel.postMessage({ kind: "state", state } satisfies Said);
  }

  private hear(said: Said): void {
    if (said.kind === "entry") this.take(said.entry);
    else if (said.kind === "state") this.setState(said.state);
    else if (this.isLeader) this.channel.postMessage({ kind: "state", state: this.state } satisfies Said);
  }

  private take(entry: FeedEntry): void {
    this.position = entry.position;
    for (const listener of this.entryListeners) listener(entry);
    if (entry.taskId !== null) {
      void this.queries.invalidateQueries({ queryKey: ["task", entry.taskId] });
      void this.queries.invalidateQueries({ queryKey: ["live"] });
    }
    if (entry.type === "webhook.disabled") void this.queries.invalidateQueries({ queryKey: ["webhooks"] });
  }

  private setState(state: Connection): void {
    if (this.state === state) return;
    const since = this.wasLive ? Date.now() : this.knownSince;
    this.state = state;
    for (const listener of this.listeners) listener();
    if (state !== "live") return;
    this.wasLive = true;
    void this.queries.invalidateQueries({ predicate: (query) => query.state.dataUpdatedAt < since });
  }

  private poll(): void {
    const tick = async () => {
      if (document.visibilityState !== "visible") return;
      try {
        await data(api.GET("/session"));
        this.setState("live");
        void this.queries.invalidateQueries({ queryKey: ["live"] });
        void this.queries.invalidateQueries({ queryKey: ["task"] });
      } catch {
        this.setState("offline");
      }
    };
    void tick();
    const timer = setInterval(tick, POLL_MS);
    this.stopped.signal.addEventListener("abort", () => clearInterval(timer));
  }
}

let current: Feed | null = null;

/** The feed of the account that is logged in; made when the shell is first shown. */
export function startFeed(queries: QueryClient): Feed {
  current ??= new Feed(queries);
  return current;
}

export function stopFeed(): void {
  current?.stop();
  current = null;
}

export function useConnection(feed: Feed): Connection {
  return useSyncExternalStore(feed.subscribe, () => feed.state);
}

export function currentFeed(): Feed | null {
  return current;
}
