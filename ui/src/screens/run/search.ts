import { one, oneOf } from "@/shell/search";

export const FILTERS = ["all", "messages", "tools", "errors", "platform"] as const;
export const TABS = ["timeline", "result", "details"] as const;

/** `show`: which rows; `tab`: the part shown on phones; `find`: the words that are searched for; `file`: the open file. */
export type Search = {
  show?: (typeof FILTERS)[number];
  tab?: (typeof TABS)[number];
  find?: string;
  file?: string;
};

export function validate(raw: Record<string, unknown>): Search {
  const show = oneOf(raw.show, FILTERS);
  const tab = oneOf(raw.tab, TABS);
  const [find, file] = [one(raw.find), one(raw.file)];
  return {
    ...(show ? { show } : {}),
    ...(tab ? { tab } : {}),
    ...(find ? { find } : {}),
    ...(file ? { file } : {}),
  };
}
