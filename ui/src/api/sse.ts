/** Follows an event stream: reconnects with backoff, resumes without loss, and notices dead connections. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import { ApiError, loggedOut, OWN_PAGE } from "./client";

export type StreamState = "connecting" | "live" | "reconnecting" | "ended" | "failed";

export type Follow = {
  url: string;
  /** The last id that the caller has; null: from the beginning of the stream. */
  lastId: string | null;
  onEvent: (event: { id: string | null; data: string }) => void;
  onState: (state: StreamState, error?: ApiError) => void;
  signal: AbortSignal;
};

const SILENCE_MS = 40_000; // the server sends a comment every 15 s
const MAX_DELAY_MS = 30_000;

/** Follow until the stream ends, fails for good, or `signal` aborts. */
export async function follow(options: Follow): Promise<void> {
  let { lastId } = options;
  let failures = 0;
  options.onState("connecting");
  while (!options.signal.aborted) {
    let wait = delay(failures);
    try {
      const response = await connect(options, lastId);
      if (response.status === 204) return options.onState("ended");
      failures = 0;
      wait = delay(0);
      options.onState("live");
      await read(response, options, (id) => {
        lastId = id;
      });
    } catch (fault) {
      if (options.signal.aborted) return;
      const error = fault instanceof ApiError ? fault : ApiError.offline();
      if (isFinal(error)) return options.onState("failed", error);
      failures += 1;
      wait = error.retryAfterSeconds ? error.retryAfterSeconds * 1000 : delay(failures);
    }
    if (options.signal.aborted) return;
    options.onState("reconnecting");
    await pause(wait, options.signal);
  }
}

/** 1, 2, 4 … 30 s, with jitter. After an orderly end of a connection: at once. */
export function delay(failures: number, random: () => number = Math.random): number {
  if (failures === 0) return 100;
  return Math.min(1000 * 2 ** (failures - 1), MAX_DELAY_MS) * (0.5 + random() / 2);
}

function isFinal(error: ApiError): boolean {
  if (error.status === 401) loggedOut();
  return error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;
}

async function connect(options: Follow, lastId: string | null): Promise<Response> {
  const headers: Record<string, string> = { ...OWN_PAGE, Accept: "text/event-stream" };
  if (lastId !== null) headers["Last-Event-ID"] = lastId;
  const response = await fetch(options.url, { headers, signal: options.signal, cache: "no-store" });
  if (!response.ok) throw await ApiError.of(response);
  return response;
}

async function read(response: Response, options: Follow, onId: (id: string) => void): Promise<void> {
  if (response.body === null) return;
  const reader = response.body
    .pipeThrough(watchdog(SILENCE_MS))
    .pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    options.onEvent({ id: value.id ?? null, data: value.data });
    if (value.id !== undefined) onId(value.id);
  }
}

/** Fails the stream after so long without a byte. */
function watchdog(ms: number): TransformStream<Uint8Array, Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const arm = (controller: TransformStreamDefaultController<Uint8Array>) => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.error(ApiError.offline()), ms);
  };
  return new TransformStream({
    start: arm,
    transform(chunk, controller) {
      arm(controller);
      controller.enqueue(chunk);
    },
    flush: () => clearTimeout(timer),
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    addEventListener("online", done); // the network is back: do not wait for the rest of the delay
  });
}
