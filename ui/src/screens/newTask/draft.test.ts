import { expect, test } from "vitest";
import type { Task } from "@/api/types";
import { draftOf, newDraft, optionCount, requestOf } from "./draft";
import { formsOf } from "./forms";

const DRAFT = { ...newDraft("agt_1"), instructions: "Count." };

test("an empty option is not sent", () => {
  expect(requestOf(DRAFT)).toEqual({ body: { instructions: "Count." }, faults: [] });
  expect(optionCount(DRAFT)).toBe(0);
});

test("every option is sent where the API wants it", () => {
  const draft = {
    ...DRAFT,
    files: [{ id: "file_1", name: "a.csv", size: 1 }],
    repositories: [
      { url: " https://example.com/a.git ", ref: "v2", path: "", token: "secret" },
      { url: "", ref: "", path: "", token: "" },
    ],
    provider: "openai",
    model: "gpt-5.2",
    maxCostUsd: "0.5",
    maxTokens: "40000",
    maxMinutes: "1.5",
    internet: "hosts" as const,
    hosts: "pypi.org:443,\n*.github.com",
    metadata: '{"order": 7}',
  };
  expect(requestOf(draft).body).toEqual({
    instructions: "Count.",
    inputFileIds: ["file_1"],
    inputRepositories: [{ url: "https://example.com/a.git", ref: "v2", token: "secret" }],
    metadata: { order: 7 },
    overrides: {
      provider: "openai",
      model: "gpt-5.2",
      budget: { maxCostUsd: 0.5, maxTokens: 40000 },
      maxRuntimeSeconds: 90,
      internetAccess: true,
      egress: { allow: ["pypi.org:443", "*.github.com"] },
    },
  });
  expect(optionCount(draft)).toBe(5);
  const forms = formsOf("agt_1", requestOf(draft).body);
  expect(Object.values(forms).join()).not.toContain("secret");
  expect(forms.cli).toContain(
    "--internet='pypi.org:443,*.github.com' \\\n  --repo https://example.com/a.git",
  );
  expect(forms.python).toContain("    budget_usd=0.5,\n    budget_tokens=40000,\n    max_runtime=90,");
});

test("text that cannot be sent is a fault of its field", () => {
  const { faults } = requestOf({ ...DRAFT, metadata: "{", maxMinutes: "soon", maxTokens: "1.5" });
  expect(faults.map(({ path }) => path).sort()).toEqual([
    "metadata",
    "overrides.budget.maxTokens",
    "overrides.maxRuntimeSeconds",
  ]);
});

test("a task that is run again gets the same request", () => {
  const task = {
    agentId: "agt_1",
    instructions: "Count.\nTwice.",
    title: "Count.",
    metadata: { order: 7 },
    inputFiles: [
      { id: "file_1", filename: "a.csv", sizeBytes: 1, isDeleted: false },
      { id: "file_2", filename: "gone.csv", sizeBytes: 1, isDeleted: true },
    ],
    inputRepositories: [{ url: "https://example.com/a.git", ref: null, path: "app" }],
    overrides: {
      maxRuntimeSeconds: 900,
      internetAccess: false,
      outputPolicy: { mode: "named", files: [{ name: "report", jsonSchema: { type: "object" } }] },
      budget: { maxCostUsd: 2, onReached: "pause" },
      priority: 3,
    },
    skills: ["file_version", "file_own"],
  } as unknown as Task;
  const draft = draftOf(task, ["file_version"]);
  const { key: _, ...rest } = draft;
  expect(rest).toMatchObject({ agentId: "agt_1", title: "", internet: "none", maxMinutes: "15" });
  expect(requestOf(draft).body).toEqual({
    instructions: "Count.\nTwice.",
    inputFileIds: ["file_1"],
    inputRepositories: [{ url: "https://example.com/a.git", path: "app" }],
    skills: ["file_own"],
    metadata: { order: 7 },
    overrides: task.overrides,
  });
});
