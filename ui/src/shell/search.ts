/** The query of a URL as plain text: repeated names are lists. So links can be read, typed and shared. */

export type RawSearch = Record<string, string | string[]>;

export function parseSearch(text: string): RawSearch {
  const raw: RawSearch = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) {
    const known = raw[name];
    raw[name] = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value];
  }
  return { ...raw };
}

export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") parameters.append(name, String(each));
    }
  }
  const text = parameters.toString();
  return text ? `?${text}` : "";
}

export function one(value: unknown): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return typeof first === "string" && first !== "" ? first : undefined;
}

export function many(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).filter(
    (each): each is string => typeof each === "string" && each !== "",
  );
}

/** The value if it is one of these. */
export function oneOf<T extends string>(value: unknown, known: readonly T[]): T | undefined {
  const text = one(value);
  return known.find((each) => each === text);
}
