import { expect, test } from "vitest";
import { parseSearch, stringifySearch } from "@/shell/search";
import { chips, toFilters } from "./filters";
import { validate } from "./search";

test("a link's filters survive, and what is none is dropped", () => {
  const text =
    "?status=failed&status=running&metadata=order%3A7&q=a+b&range=7d&mode=other&x=1&after=2026-13-99";
  const search = validate(parseSearch(text));
  expect(search).toEqual({ status: ["failed", "running"], metadata: ["order:7"], q: "a b", range: "7d" });
  expect(validate(parseSearch(stringifySearch(search)))).toEqual(search);
});

test("names of object properties are plain names", () => {
  expect(validate(parseSearch("?__proto__=x&constructor=y&q=z"))).toEqual({ q: "z" });
});

test("filters of the API", () => {
  const now = Date.parse("2026-03-08T12:00:00.000Z");
  expect(toFilters({ range: "24h", metadata: ["a:b:c"], error: "disk_full" }, now)).toEqual({
    createdAfter: "2026-03-07T12:00:00.000Z",
    metadata: { "metadata.a": "b:c" },
    errorCode: "disk_full",
  });
});

test("each chip removes its own filter", () => {
  const found = chips({ status: ["failed", "running"], agent: "agt_1" }, () => "Data");
  expect(found.map((chip) => chip.label)).toEqual(["status: failed", "status: running", "agent: Data"]);
  expect(found[0]?.without).toEqual({ status: ["running"], agent: "agt_1" });
});
