/** The typed client of the API, and how its errors are told to people. */
import createClient from "openapi-fetch";
import type { paths } from "./schema";

export type FieldFault = { path: string; message: string };

/** Every failure of a request. `code` is the API's, or `offline` where no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
    readonly details: FieldFault[] = [],
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  get isOffline(): boolean {
    return this.code === "offline";
  }

  /** Whether repeating the same request may help. */
  get isTransient(): boolean {
    return this.isOffline || this.status === 429 || this.status === 503;
  }

  static async of(response: Response): Promise<ApiError> {
    let body: unknown = null;
    try {
      body = await response.json();
    } catch {
      // A proxy answered with a page: the status says enough.
    }
    return ApiError.ofBody(response, body);
  }

  static ofBody(response: Response, body: unknown): ApiError {
    const error = (
      body as {
        error?: { code?: string; message?: string; requestId?: string; details?: FieldFault[] };
      } | null
    )?.error;
    const retryAfter = Number(response.headers.get("retry-after"));
    return new ApiError(
      response.status,
      error?.code ?? "unknown",
      error?.message ?? `The server answered with status ${response.status}.`,
      error?.requestId ?? response.headers.get("x-request-id"),
      error?.details ?? [],
      Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null,
    );
  }

  static offline(): ApiError {
    return new ApiError(0, "offline", "The server cannot be reached. Check your connection.");
  }
}

/** Browsers under plain http send no `Sec-Fetch-Site`; this header says that the request is of our own page. */
export const OWN_PAGE = { "X-AC-UI": "1" } as const;

export const api = createClient<paths>({
  headers: OWN_PAGE,
  credentials: "same-origin",
  querySerializer: { array: { style: "form", explode: true }, object: { style: "form", explode: true } },
});

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** A message of an event stream, which `follow` reads, or a CSV file: requests of ours are answered with JSON. */
type StreamMessage = { event: string; data: string };

/** The data of an answer.
 *
 * Raises: ApiError, for every other answer and where there is none. */
export async function data<T>(request: Promise<Answer<T>>): Promise<Exclude<T, StreamMessage | string>> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch (fault) {
    if (fault instanceof DOMException && fault.name === "AbortError") throw fault;
    throw ApiError.offline();
  }
  if (!answer.response.ok) {
    const error = ApiError.ofBody(answer.response, answer.error);
    if (error.status === 401) onLoggedOut();
    throw error;
  }
  return answer.data as Exclude<T, StreamMessage | string>;
}

let onLoggedOut: () => void = () => {};

/** What happens when the server no longer knows the session. */
export function setOnLoggedOut(handler: () => void): void {
  onLoggedOut = handler;
}

export function loggedOut(): void {
  onLoggedOut();
}

/** A new Idempotency-Key. `crypto.randomUUID` is missing under plain http. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** What a failed request says of a field. */
export function faultOf(error: unknown, path: string): string | undefined {
  return error instanceof ApiError ? error.details.find((each) => each.path === path)?.message : undefined;
}
