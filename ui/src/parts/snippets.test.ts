import { expect, test } from "vitest";
import { curl, literal, quoted } from "./snippets";

test("text in a shell is one argument, whatever it holds", () => {
  expect(quoted("plain/path.txt")).toBe("plain/path.txt");
  expect(quoted("it's $HOME; rm -rf /")).toBe(`'it'\\''s $HOME; rm -rf /'`);
});

test("curl reads the key from the environment", () => {
  expect(curl("POST", "/api/v1/x", { a: "it's" })).toBe(
    "curl -sS -X POST http://127.0.0.1:8080/api/v1/x \\\n" +
      '  -H "Authorization: Bearer $AGENTCONTAINER_API_KEY" \\\n' +
      "  -H 'Content-Type: application/json' \\\n" +
      `  -d '{"a":"it'\\''s"}'`,
  );
});

test("values as Python writes them", () => {
  expect(literal({ a: true, b: [null, 1.5], c: 'say "x"\n' })).toBe(
    '{\n    "a": True,\n    "b": [\n        None,\n        1.5,\n    ],\n    "c": "say \\"x\\"\\n",\n}',
  );
});
