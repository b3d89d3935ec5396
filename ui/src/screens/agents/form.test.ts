import { expect, test } from "vitest";
import type { Agent } from "@/api/types";
import {
  byteLength,
  changeOf,
  comparable,
  differences,
  draftVersion,
  formOf,
  NEW_AGENT,
  rebased,
  settingRows,
} from "./form";

const AGENT: Agent = {
  id: "agt_1",
  name: "Auditor",
  description: "Checks.",
  isStandard: false,
  archivedAt: null,
  createdAt: "2026-03-26T14:00:00.000Z",
  currentVersion: {
    id: "agv_1",
    agentId: "agt_1",
    number: 1,
    runtime: { containerImage: null, agentRuntime: "pi" },
    basePrompt: "You count.",
    defaults: {
      provider: "anthropic",
      model: "claude-sonnet-4-6",
      weakModel: "claude-haiku-4-5",
      internetAccess: false,
      maxRuntimeSeconds: 3600,
      softFinishAfterSeconds: null,
      sessionTtlSeconds: 3600,
      outputPolicy: { mode: "any" },
      runtimeRegion: "any",
    },
    referenceFileIds: ["file_1"],
    skills: [],
    createdAt: "2026-03-26T14:00:00.000Z",
  },
};

test("only what was edited is sent", () => {
  const base = formOf(AGENT);
  expect(changeOf(base, base).change).toEqual({});
  const form = {
    ...base,
    basePrompt: "You count twice.",
    maxMinutes: "1.5",
    weakModel: "",
    references: ["file_1", "file_2"],
    policy: { mode: "at_least_one" as const, files: [] },
  };
  expect(changeOf(base, form).change).toEqual({
    basePrompt: "You count twice.",
    defaults: { maxRuntimeSeconds: 90, weakModel: null, outputPolicy: { mode: "at_least_one" } },
    referenceFileIds: ["file_1", "file_2"],
  });
});

test("a changed provider is sent with its model, a removed image as null", () => {
  const base = { ...formOf(AGENT), image: "python:3.12" };
  const { change } = changeOf(base, { ...base, provider: "openai", model: "gpt-5.2", image: "" });
  expect(change).toEqual({
    defaults: { provider: "openai", model: "gpt-5.2" },
    runtime: { containerImage: null },
  });
});

test("a provider that needs no model is sent without one", () => {
  const { change } = changeOf(NEW_AGENT, { ...NEW_AGENT, name: "Poet", provider: "offline" });
  expect(change).toEqual({ name: "Poet", defaults: { provider: "offline" } });
});

test("a new agent sends what is filled in; text that is no number is a fault", () => {
  const { change, faults } = changeOf(NEW_AGENT, { ...NEW_AGENT, name: " Poet ", ttlMinutes: "long" });
  expect(change).toMatchObject({ name: "Poet" });
  expect(faults).toEqual([{ path: "defaults.sessionTtlSeconds", message: "Write a number." }]);
});

test("an edit goes on top of a version that came meanwhile", () => {
  const base = formOf(AGENT);
  const mine = { ...base, basePrompt: "Mine." };
  const theirs = { ...base, basePrompt: "Theirs.", maxMinutes: "5" };
  expect(rebased(mine, base, theirs)).toEqual({ ...theirs, basePrompt: "Mine." });
});

test("versions are compared by prompt, settings, image and files", () => {
  const now = comparable(AGENT.currentVersion);
  const next = draftVersion(
    AGENT.currentVersion,
    { basePrompt: "Other", defaults: { model: "claude-opus-4-5" }, referenceFileIds: [] },
    "new",
  );
  expect(differences(now, next)).toEqual(["prompt", "model", "reference files"]);
  expect(settingRows(now, next).find(({ name }) => name === "model")).toMatchObject({
    before: "claude-sonnet-4-6",
    after: "claude-opus-4-5",
    isChanged: true,
  });
  expect(differences(now, now)).toEqual([]);
  expect(byteLength("zählen")).toBe(7);
});
