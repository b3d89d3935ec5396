/** Two texts compared by line, and changed lines by word. Pure. */
import { diffLines, diffWordsWithSpace } from "diff";

export type Piece = { text: string; isChanged: boolean };
export type Line =
  | { kind: "same" | "removed" | "added"; pieces: Piece[]; before: number | null; after: number | null }
  | { kind: "folded"; count: number };

const CONTEXT = 3;
const TIMEOUT_MS = 1000;

/** The lines of both texts. Long runs of equal lines are folded, except for three beside each change. */
export function compare(before: string, after: string): Line[] {
  const parts = diffLines(before, after, { timeout: TIMEOUT_MS }) ?? [
    { value: before, removed: true, added: false },
    { value: after, removed: false, added: true },
  ];
  const lines: Line[] = [];
  let [left, right] = [1, 1];
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index];
    const next = parts[index + 1];
    if (part === undefined) break;
    const texts = linesOf(part.value);
    if (part.removed && next?.added) {
      const others = linesOf(next.value);
      const [removed, added] = changed(texts, others);
      for (const pieces of removed) lines.push({ kind: "removed", pieces, before: left++, after: null });
      for (const pieces of added) lines.push({ kind: "added", pieces, before: null, after: right++ });
      index += 1;
    } else {
      for (const text of texts) {
        const pieces = [{ text, isChanged: false }];
        if (part.removed) lines.push({ kind: "removed", pieces, before: left++, after: null });
        else if (part.added) lines.push({ kind: "added", pieces, before: null, after: right++ });
        else lines.push({ kind: "same", pieces, before: left++, after: right++ });
      }
    }
  }
  return folded(lines);
}

export function isEqual(lines: readonly Line[]): boolean {
  return lines.every(({ kind }) => kind === "same" || kind === "folded");
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The changed words of lines that stand for each other; other lines as a whole. */
function changed(removed: string[], added: string[]): [Piece[][], Piece[][]] {
  const left: Piece[][] = [];
  const right: Piece[][] = [];
  for (let index = 0; index < Math.max(removed.length, added.length); index += 1) {
    const [old, now] = [removed[index], added[index]];
    const words =
      old === undefined || now === undefined || old.length + now.length > 20_000
        ? null
        : diffWordsWithSpace(old, now, { timeout: 100 });
    if (old !== undefined) left.push(words ? pieces(words, "added") : [{ text: old, isChanged: false }]);
    if (now !== undefined) right.push(words ? pieces(words, "removed") : [{ text: now, isChanged: false }]);
  }
  return [left, right];
}

function pieces(
  words: { value: string; added?: boolean; removed?: boolean }[],
  without: "added" | "removed",
): Piece[] {
  return words
    .filter((word) => !word[without])
    .map((word) => ({ text: word.value, isChanged: Boolean(word.added || word.removed) }));
}

function folded(lines: Line[]): Line[] {
  const result: Line[] = [];
  let index = 0;
  while (index < lines.length) {
    let end = index;
    while (end < lines.length && lines[end]?.kind === "same") end += 1;
    if (end === index) {
      result.push(lines[index] as Line);
      index += 1;
      continue;
    }
    const head = index === 0 ? 0 : CONTEXT;
    const tail = end === lines.length ? 0 : CONTEXT;
    const hidden = end - index - head - tail;
    if (hidden > 1) {
      result.push(...lines.slice(index, index + head), { kind: "folded", count: hidden });
      result.push(...lines.slice(end - tail, end));
    } else result.push(...lines.slice(index, end));
    index = end;
  }
  return result;
}
