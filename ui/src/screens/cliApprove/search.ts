import { one } from "@/shell/search";

export type Search = { login?: string };

export function validate(raw: Record<string, unknown>): Search {
  const login = one(raw.login);
  return login ? { login } : {};
}
