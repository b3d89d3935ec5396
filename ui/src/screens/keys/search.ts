import { one, oneOf } from "@/shell/search";

/** The dialog that a link opens: for a new API key, or for the key of this provider. */
export type Search = { new?: "true"; provider?: string };

export function validate(raw: Record<string, unknown>): Search {
  const provider = one(raw.provider);
  return { ...(oneOf(raw.new, ["true"]) ? { new: "true" as const } : {}), ...(provider ? { provider } : {}) };
}
