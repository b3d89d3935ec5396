/** Which files a task must deliver, with a JSON Schema for each if somebody wants one. */
import { Plus, X } from "lucide-react";
import type { FieldFault } from "@/api/client";
import { Button } from "@/widgets/Button";
import { SelectField, SwitchField, TextArea, TextField } from "@/widgets/Fields";
import { EMPTY_FILE, faultAt, MODES, type NamedFile, type PolicyForm, type PolicyMode } from "./policy";
import { words } from "./words";

type Props = {
  form: PolicyForm;
  onChange: (form: PolicyForm) => void;
  faults: readonly FieldFault[];
  /** The path of the policy in the request. */
  path: string;
  /** What an empty choice stands for; without it there is no empty choice. */
  inherited?: string;
  disabled?: boolean;
};

export function PolicyFields(props: Props) {
  const { form, onChange, faults, path } = props;
  const setFile = (index: number, change: Partial<NamedFile>) =>
    onChange({
      ...form,
      files: form.files.map((file, place) => (place === index ? { ...file, ...change } : file)),
    });
  const setMode = (mode: PolicyMode | "") =>
    onChange({ mode, files: mode === "named" && form.files.length === 0 ? [EMPTY_FILE] : form.files });
  return (
    <div className="space-y-2">
      <SelectField
        label={words.policy}
        value={form.mode}
        disabled={props.disabled}
        error={
          faultAt(faults, `${path}.mode`) ??
          faults.find((fault) => fault.path === path || fault.path === `${path}.files`)?.message ??
          null
        }
        onChange={(event) => setMode(event.target.value as PolicyMode | "")}
      >
        {props.inherited !== undefined && <option value="">{props.inherited}</option>}
        {MODES.map((mode) => (
          <option key={mode} value={mode}>
            {words.modes[mode]}
          </option>
        ))}
      </SelectField>
      {form.mode === "named" && (
        <ul className="space-y-2">
          {form.files.map((file, index) => (
            <File
              // biome-ignore lint/suspicious/noArrayIndexKey: the rows have no other identity
              key={index}
              file={file}
              disabled={props.disabled}
              faultOf={(field) => faultAt(faults, `${path}.files.${index}.${field}`)}
              onChange={(change) => setFile(index, change)}
              onRemove={() => onChange({ ...form, files: form.files.filter((_, place) => place !== index) })}
            />
          ))}
          {!props.disabled && (
            <li>
              <Button size="small" onClick={() => onChange({ ...form, files: [...form.files, EMPTY_FILE] })}>
                <Plus aria-hidden size={14} /> {words.addOutput}
              </Button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}

function File(props: {
  file: NamedFile;
  disabled?: boolean;
  faultOf: (field: string) => string | null;
  onChange: (change: Partial<NamedFile>) => void;
  onRemove: () => void;
}) {
  const { file, disabled, faultOf, onChange } = props;
  return (
    <li className="space-y-2 rounded-md border border-line p-3">
      <div className="grid gap-2 sm:grid-cols-[1fr_1fr_8rem_auto]">
        <TextField
          label={words.outputName}
          value={file.name}
          disabled={disabled}
          error={faultOf("name")}
          onChange={(event) => onChange({ name: event.target.value })}
        />
        <TextField
          label={words.contentType}
          placeholder="application/json"
          value={file.contentType}
          disabled={disabled}
          error={faultOf("contentType")}
          onChange={(event) => onChange({ contentType: event.target.value })}
        />
        <TextField
          label={words.maxBytes}
          inputMode="numeric"
          value={file.maxBytes}
          disabled={disabled}
          error={faultOf("maxBytes")}
          onChange={(event) => onChange({ maxBytes: event.target.value })}
        />
        {!disabled && (
          <Button kind="quiet" size="small" className="self-start sm:mt-6" onClick={props.onRemove}>
            <X aria-hidden size={14} />
            <span className="sr-only">
              {words.remove} {file.name}
            </span>
          </Button>
        )}
      </div>
      <SwitchField
        label={words.required}
        isOn={file.isRequired}
        disabled={disabled}
        onChange={(isRequired) => onChange({ isRequired })}
      />
      <TextArea
        label={words.schema}
        rows={file.jsonSchema ? 6 : 2}
        className="font-mono text-[12.5px]"
        spellCheck={false}
        placeholder='{"type": "object", "required": ["total"]}'
        value={file.jsonSchema}
        disabled={disabled}
        error={faultOf("jsonSchema")}
        onChange={(event) => onChange({ jsonSchema: event.target.value })}
      />
    </li>
  );
}
