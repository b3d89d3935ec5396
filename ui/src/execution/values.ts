/** Settings of a task as people read them. */
import { duration } from "@/parts/format";
import { words } from "./words";

/** The value of a setting, by its name in the API. */
export function valueText(name: string, value: unknown): string {
  if (value === null || value === undefined) return words.none;
  if (name.endsWith("Seconds") && typeof value === "number") return duration(value * 1000);
  if (name === "internetAccess") return value ? words.internetOn : words.internetOff;
  if (name === "egress") return (value as { allow: string[] }).allow.join(", ");
  if (name === "budget")
    return budgetText(value as { maxCostUsd?: number | null; maxTokens?: number | null });
  if (name === "outputPolicy") return policyText(value as { mode: string; files?: { name: string }[] });
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function budgetText(budget: { maxCostUsd?: number | null; maxTokens?: number | null }): string {
  const parts = [
    budget.maxCostUsd == null ? "" : `$${budget.maxCostUsd}`,
    budget.maxTokens == null ? "" : `${budget.maxTokens} tokens`,
  ];
  return parts.filter(Boolean).join(", ");
}

function policyText(policy: { mode: string; files?: { name: string }[] }): string {
  if (policy.mode === "named")
    return `${words.policyNamed} ${policy.files?.map(({ name }) => name).join(", ")}`;
  return words.modes[policy.mode as "any"] ?? policy.mode;
}
