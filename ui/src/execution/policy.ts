/** An output policy as a form has it: text, until it is sent. */
import type { FieldFault } from "@/api/client";
import type { components } from "@/api/schema";

export type OutputPolicy = components["schemas"]["OutputPolicy"];
export const MODES = ["any", "none", "at_least_one", "named"] as const;
export type PolicyMode = (typeof MODES)[number];

export type NamedFile = {
  name: string;
  isRequired: boolean;
  contentType: string;
  maxBytes: string;
  jsonSchema: string;
};
/** `mode` empty: whatever the layer below says. */
export type PolicyForm = { mode: PolicyMode | ""; files: NamedFile[] };

export const EMPTY_FILE: NamedFile = {
  name: "",
  isRequired: true,
  contentType: "",
  maxBytes: "",
  jsonSchema: "",
};

/** The form of a policy that was sent before. */
export function policyForm(policy: unknown): PolicyForm {
  const { mode, files } = (policy ?? {}) as Partial<OutputPolicy>;
  return {
    mode: MODES.find((known) => known === mode) ?? "",
    files: (files ?? []).map((file) => ({
      name: file.name,
      isRequired: file.required !== false,
      contentType: file.contentType ?? "",
      maxBytes: file.maxBytes == null ? "" : String(file.maxBytes),
      jsonSchema: file.jsonSchema == null ? "" : JSON.stringify(file.jsonSchema, null, 2),
    })),
  };
}

/** The policy that a form stands for. `faults`: text that is no number or no JSON; all else is the API's to judge. */
export function policyOf(
  form: PolicyForm,
  path: string,
): { policy: OutputPolicy | null; faults: FieldFault[] } {
  if (form.mode === "") return { policy: null, faults: [] };
  if (form.mode !== "named") return { policy: { mode: form.mode }, faults: [] };
  const faults: FieldFault[] = [];
  const files = form.files.map((file, index) => {
    const at = `${path}.files.${index}`;
    const maxBytes = wholeNumber(file.maxBytes, `${at}.maxBytes`, faults);
    const schema = parsed(file.jsonSchema, `${at}.jsonSchema`, faults);
    return {
      name: file.name.trim(),
      ...(file.isRequired ? {} : { required: false }),
      ...(file.contentType.trim() ? { contentType: file.contentType.trim() } : {}),
      ...(maxBytes === null ? {} : { maxBytes }),
      ...(schema === null ? {} : { jsonSchema: schema as Record<string, never> }),
    };
  });
  return { policy: { mode: "named", files }, faults };
}

/** A number, or null for an empty field; text that is no number is a fault. */
export function wholeNumber(text: string, path: string, faults: FieldFault[]): number | null {
  const value = number(text, path, faults);
  if (value === null || Number.isInteger(value)) return value;
  faults.push({ path, message: "Write a whole number." });
  return null;
}

export function number(text: string, path: string, faults: FieldFault[]): number | null {
  if (!text.trim()) return null;
  const value = Number(text.trim());
  if (Number.isFinite(value)) return value;
  faults.push({ path, message: "Write a number." });
  return null;
}

/** JSON, or null for an empty field. */
export function parsed(text: string, path: string, faults: FieldFault[]): unknown {
  if (!text.trim()) return null;
  try {
    return JSON.parse(text);
  } catch (fault) {
    faults.push({ path, message: `This is not JSON: ${fault instanceof Error ? fault.message : fault}` });
    return null;
  }
}

/** The message for a field: of the faults whose path is the field's, or lies within it. */
export function faultAt(faults: readonly FieldFault[], ...paths: string[]): string | null {
  const found = faults.filter((fault) =>
    paths.some((path) => fault.path === path || fault.path.startsWith(`${path}.`)),
  );
  return found.length === 0 ? null : found.map(({ message }) => message).join(" ");
}
