import { one, oneOf } from "@/shell/search";

export const KINDS = ["upload", "output"] as const;
export const TYPES = ["image/", "text/", "application/json", "application/pdf", "video/", "audio/"] as const;
export const SIZES = ["1000000", "10000000", "100000000"] as const;

/** The filters of the list, and the file whose sheet is open. */
export type Search = {
  task?: string;
  kind?: (typeof KINDS)[number];
  type?: (typeof TYPES)[number];
  min?: (typeof SIZES)[number];
  file?: string;
};

export function validate(raw: Record<string, unknown>): Search {
  const search: Search = {
    task: one(raw.task),
    kind: oneOf(raw.kind, KINDS),
    type: oneOf(raw.type, TYPES),
    min: oneOf(raw.min, SIZES),
    file: one(raw.file),
  };
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as Search;
}
