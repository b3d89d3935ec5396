/** Uploads one file in three steps. `XMLHttpRequest` sends the bytes, because `fetch` reports no progress. */
import { ApiError, api, data, newKey } from "./client";

export type Progress = { sentBytes: number; totalBytes: number };

/** Upload a file; returns its id.
 *
 * Raises: ApiError; a DOMException named AbortError if `signal` aborts. */
export async function upload(
  file: File,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<string> {
  const contentType = file.type || "application/octet-stream";
  const prepared = await data(
    api.POST("/api/v1/uploads/prepare", {
      params: { header: { "Idempotency-Key": newKey() } },
      body: { filename: file.name, contentType, sizeBytes: file.size },
      signal,
    }),
  );
  const storageId = await send(prepared, file, signal, onProgress);
  const completed = await data(
    api.POST("/api/v1/uploads/complete", {
      params: { header: { "Idempotency-Key": newKey() } },
      body: { uploadId: prepared.uploadId, ...(storageId ? { storageId } : {}) },
      signal,
    }),
  );
  return completed.fileId;
}

type Prepared = { uploadUrl: string; method: string; headers: Record<string, string> };

/** Send the bytes; returns the receipt of a POST. */
function send(
  prepared: Prepared,
  file: File,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(prepared.method, prepared.uploadUrl);
    for (const [name, value] of Object.entries(prepared.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress({ sentBytes: event.loaded, totalBytes: file.size });
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(receipt(request.responseText));
      else reject(refusal(request));
    };
    request.onerror = () => reject(ApiError.offline());
    request.onabort = () => reject(new DOMException("The upload was removed.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

function receipt(text: string): string | null {
  try {
    return (JSON.parse(text) as { storageId?: string }).storageId ?? null;
  } catch {
    return null; // S3 answers with no body
  }
}

function refusal(request: XMLHttpRequest): ApiError {
  let body: unknown = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // S3 answers with XML: the status says enough.
  }
  return ApiError.ofBody(new Response(null, { status: request.status }), body);
}
