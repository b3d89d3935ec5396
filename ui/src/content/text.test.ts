import { describe, expect, test } from "vitest";
import { blocks, coloursOnly, head, safeUrl, visible } from "./text";

describe("hostile text", () => {
  test("characters that reorder or hide are shown as marks", () => {
    expect(visible("invoice\u202efdp.exe")).toBe("invoice⟨U+202E⟩fdp.exe");
    expect(visible("pay\u200bpal\ufeff")).toBe("pay⟨U+200B⟩pal⟨U+FEFF⟩");
    expect(visible("\u001b]8;;http://evil\u0007")).toBe("␛]8;;http://evil␇");
  });
  test("line ends become new lines, tabs stay", () => {
    expect(visible("a\r\nb\rc\u2028d\te")).toBe("a\nb\nc\nd\te");
  });
  test("piled marks are cut, emoji and accents stay", () => {
    expect(visible(`Z${"\u0353".repeat(50)}`)).toBe(`Z${"\u0353".repeat(3)}`);
    expect(visible("é 👩‍👩‍👧")).toBe("é 👩‍👩‍👧");
  });
  test("a cut never leaves half a character", () => {
    expect(head("a😀b", 2)).toBe("a");
    expect(head("a😀b", 3)).toBe("a😀");
  });
});

describe("links", () => {
  test.each([
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "/relative",
    "vbscript:x",
    "file:///etc",
    "",
  ])("%s is not a link", (url) => expect(safeUrl(url)).toBeNull());
  test("web and mail addresses are", () => {
    expect(safeUrl("https://example.com/a")?.host).toBe("example.com");
    expect(safeUrl("mailto:a@example.com")?.protocol).toBe("mailto:");
  });
});

test("Markdown is cut at blank lines outside of fences", () => {
  expect(blocks("a\n\nb\n```\nx\n\ny\n```\n\nc")).toEqual(["a", "b\n```\nx\n\ny\n```", "c"]);
  expect(blocks("```\nunfinished\n\nstill")).toEqual(["```\nunfinished\n\nstill"]);
});

test("terminal output keeps its colours only", () => {
  expect(
    coloursOnly("\u001b[31mred\u001b[0m\u001b[2J\u001b[10;5H\u001b]8;;http://x\u0007link\u001b]8;;\u0007"),
  ).toBe("\u001b[31mred\u001b[0mlink");
});
