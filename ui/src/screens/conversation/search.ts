import { one, oneOf } from "@/shell/search";

/** `file`: the file that is open. */
export type Search = { file?: string };

export function validate(raw: Record<string, unknown>): Search {
  const file = one(raw.file);
  return file ? { file } : {};
}

export const SHOWN = ["open", "ended"] as const;

export type ListSearch = { show?: (typeof SHOWN)[number] };

export function validateList(raw: Record<string, unknown>): ListSearch {
  const show = oneOf(raw.show, SHOWN);
  return show ? { show } : {};
}
