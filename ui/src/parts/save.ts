/** Saves what a route answers as a file of the user's machine. */
import { ApiError, OWN_PAGE } from "@/api/client";

/** Raises: ApiError, where the route does not answer with the file. */
export async function save(path: string, filename: string): Promise<void> {
  let response: Response;
  try {
    response = await fetch(path, { headers: OWN_PAGE });
  } catch {
    throw ApiError.offline();
  }
  if (!response.ok) throw await ApiError.of(response);
  saveBlob(await response.blob(), filename);
}

export function saveBlob(blob: Blob, filename: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
