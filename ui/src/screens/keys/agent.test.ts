import { expect, test } from "vitest";
import { browserOf, isRecent } from "./agent";

test("browsers are named; what is not known is shown as it is", () => {
  const chrome =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
  expect(browserOf(chrome)).toBe("Chrome on Linux");
  expect(browserOf(`${chrome} Edg/140.0`)).toBe("Edge on Linux");
  expect(browserOf("<b>x</b>")).toBe("<b>x</b>");
});

test("a key that was used within a day was used lately", () => {
  const now = Date.parse("2026-03-26T14:00:00Z");
  expect(isRecent("2026-03-25T14:00:01Z", now)).toBe(true);
  expect(isRecent("2026-03-25T13:59:59Z", now)).toBe(false);
  expect(isRecent(null, now)).toBe(false);
});
