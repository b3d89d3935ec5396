import { expect, test } from "vitest";
import { compare, isEqual } from "./diff";

const shown = (before: string, after: string) =>
  compare(before, after).map((line) =>
    line.kind === "folded"
      ? `… ${line.count}`
      : `${line.kind[0]} ${line.pieces.map(({ text, isChanged }) => (isChanged ? `[${text}]` : text)).join("")}`,
  );

test("changed words are marked within changed lines", () => {
  expect(shown("You count.\nTwice.\n", "You count twice.\nTwice.\nThen stop.\n")).toEqual([
    "r You count.",
    "a You count[ twice].",
    "s Twice.",
    "a Then stop.",
  ]);
});

test("long runs of equal lines are folded, short ones are not", () => {
  const lines = Array.from({ length: 20 }, (_, index) => `line ${index}`);
  const later = [...lines];
  later[10] = "another";
  expect(shown(lines.join("\n"), later.join("\n")).filter((line) => line.startsWith("…"))).toEqual([
    "… 7",
    "… 6",
  ]);
});

test("equal texts have no change, and a text of 100,000 bytes is compared within seconds", () => {
  expect(isEqual(compare("a\nb", "a\nb"))).toBe(true);
  expect(isEqual(compare("", ""))).toBe(true);
  const noise = (seed: number) =>
    Array.from({ length: 5000 }, (_, index) => `${(index * seed) % 7919} word word`).join("\n");
  const start = performance.now();
  expect(isEqual(compare(noise(31), noise(37)))).toBe(false);
  expect(performance.now() - start).toBeLessThan(5000);
});
