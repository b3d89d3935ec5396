import { expect, test } from "vitest";
import { kindOf } from "./Preview";

test("what a file is shown as", () => {
  expect(kindOf("report.html", "text/plain")).toBe("html");
  expect(kindOf("page", "text/html; charset=utf-8")).toBe("html");
  expect(kindOf("a.pdf", "application/pdf")).toBe("pdf");
  expect(kindOf("a.svg", "image/svg+xml")).toBe("image");
  expect(kindOf("a.zip", "application/zip")).toBe("none");
  expect(kindOf("a.csv", "application/octet-stream")).toBe("text");
});
