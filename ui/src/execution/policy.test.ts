import { expect, test } from "vitest";
import { faultAt, policyForm, policyOf } from "./policy";

test("a policy that was read and not changed is sent as it was", () => {
  const policy = {
    mode: "named",
    files: [
      { name: "summary", contentType: "application/json", maxBytes: 10, jsonSchema: { type: "object" } },
      { name: "chart", required: false },
    ],
  };
  expect(policyOf(policyForm(policy), "p")).toEqual({ policy, faults: [] });
  expect(policyOf(policyForm({ mode: "at_least_one" }), "p").policy).toEqual({ mode: "at_least_one" });
  expect(policyOf(policyForm(null), "p").policy).toBeNull();
});

test("text that is no JSON or no number is a fault of its field", () => {
  const file = { name: "a", isRequired: true, contentType: "", maxBytes: "many", jsonSchema: "{type" };
  const { faults } = policyOf({ mode: "named", files: [file] }, "overrides.outputPolicy");
  expect(faultAt(faults, "overrides.outputPolicy.files.0.maxBytes")).toBe("Write a number.");
  expect(faultAt(faults, "overrides.outputPolicy.files.0.jsonSchema")).toContain("This is not JSON");
  expect(faultAt(faults, "overrides.outputPolicy.files.1")).toBeNull();
  expect(faultAt(faults, "overrides.outputPol")).toBeNull();
});
