/** Names and sizes of files that are known by their ids. */
import { ApiError, api, data } from "@/api/client";
import type { StoredFile } from "./queue";

const MAX_NAMED = 100; // the rest is listed by id

/** The files that are still there. `isIncomplete`: some are not. */
export async function storedOnes(
  ids: readonly string[],
): Promise<{ files: StoredFile[]; isIncomplete: boolean }> {
  const named = await Promise.all(ids.slice(0, MAX_NAMED).map(stored));
  const rest = ids.slice(MAX_NAMED).map((id) => ({ id, name: id, size: 0 }));
  const files = [...named.filter((file) => file !== null), ...rest];
  return { files, isIncomplete: files.length < ids.length };
}

async function stored(fileId: string): Promise<StoredFile | null> {
  try {
    const file = await data(api.GET("/api/v1/files/{fileId}", { params: { path: { fileId } } }));
    return { id: fileId, name: file.filename, size: file.sizeBytes };
  } catch (fault) {
    if (fault instanceof ApiError && fault.status === 404) return null;
    throw fault;
  }
}
