/** The settings of this task that replace the agent's, folded until somebody needs them. */
import { useEffect, useState } from "react";
import type { FieldFault } from "@/api/client";
import type { AgentVersion } from "@/api/types";
import { JsonTree } from "@/content/JsonTree";
import { ModelFields } from "@/execution/ModelFields";
import { PolicyFields } from "@/execution/PolicyFields";
import { faultAt } from "@/execution/policy";
import { valueText } from "@/execution/values";
import { words as settingWords } from "@/execution/words";
import { Button } from "@/widgets/Button";
import { SelectField, TextArea, TextField } from "@/widgets/Fields";
import { type Draft, type Internet, optionCount } from "./draft";
import { words } from "./words";

type Props = {
  draft: Draft;
  onChange: (change: Partial<Draft>) => void;
  faults: readonly FieldFault[];
  version: AgentVersion | undefined;
};

export function Options(props: Props) {
  const { draft, onChange, faults } = props;
  const defaults = props.version?.defaults;
  const count = optionCount(draft);
  const text = (name: "title" | "maxCostUsd" | "maxTokens" | "maxMinutes", path: string) => ({
    value: draft[name],
    error: faultAt(faults, path),
    onChange: (event: { target: { value: string } }) => onChange({ [name]: event.target.value }),
  });
  const hasFault = faults.some(({ path }) => /^(overrides|metadata|title)(\.|$)/.test(path));
  const [isOpen, setOpen] = useState(count > 0);
  useEffect(() => {
    if (hasFault) setOpen(true);
  }, [hasFault]);
  const inherited = (name: "internetAccess" | "outputPolicy") =>
    settingWords.asAgent(defaults ? valueText(name, defaults[name]) : "…");
  return (
    <details
      className="rounded-lg border border-line bg-panel"
      open={isOpen}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary className="px-4 py-2.5 font-medium">
        {count === 0 ? words.options : words.optionsSet(count)}
      </summary>
      <div className="space-y-4 border-t border-line p-4">
        <TextField label={words.taskTitle} hint={words.taskTitleHint} {...text("title", "title")} />
        <ModelFields
          provider={draft.provider}
          model={draft.model}
          onChange={onChange}
          faults={faults}
          path="overrides"
          inherited={defaults}
          emptyLabel={settingWords.asAgent(defaults?.provider ?? "…")}
        />
        <div className="grid gap-3 sm:grid-cols-3">
          <TextField
            label={words.budgetUsd}
            inputMode="decimal"
            hint={words.budgetUsdHint}
            {...text("maxCostUsd", "overrides.budget.maxCostUsd")}
          />
          <TextField
            label={words.budgetTokens}
            inputMode="numeric"
            {...text("maxTokens", "overrides.budget.maxTokens")}
          />
          <TextField
            label={words.minutes}
            inputMode="decimal"
            placeholder={defaults ? String(defaults.maxRuntimeSeconds / 60) : ""}
            {...text("maxMinutes", "overrides.maxRuntimeSeconds")}
          />
        </div>
        {(draft.maxCostUsd || draft.maxTokens) && (
          <SelectField
            label={words.onReached}
            value={draft.onReached || "fail"}
            error={faultAt(faults, "overrides.budget.onReached")}
            onChange={(event) => onChange({ onReached: event.target.value as Draft["onReached"] })}
          >
            <option value="fail">{words.onReachedFail}</option>
            <option value="pause">{words.onReachedPause}</option>
          </SelectField>
        )}
        {faults.some(({ path }) => path === "overrides.budget") && (
          <p role="alert" className="text-[13px] text-red">
            {faultAt(faults, "overrides.budget")}
          </p>
        )}
        <SelectField
          label={words.internet}
          value={draft.internet}
          error={faultAt(faults, "overrides.internetAccess")}
          onChange={(event) => onChange({ internet: event.target.value as Internet })}
        >
          <option value="">{inherited("internetAccess")}</option>
          {Object.entries(words.internetChoices).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </SelectField>
        {draft.internet === "hosts" && (
          <TextArea
            label={words.hosts}
            hint={words.hostsHint}
            rows={3}
            className="font-mono"
            spellCheck={false}
            value={draft.hosts}
            error={faultAt(faults, "overrides.egress")}
            onChange={(event) => onChange({ hosts: event.target.value })}
          />
        )}
        <PolicyFields
          form={draft.policy}
          onChange={(policy) => onChange({ policy })}
          faults={faults}
          path="overrides.outputPolicy"
          inherited={inherited("outputPolicy")}
        />
        <TextArea
          label={words.metadata}
          hint={words.metadataHint}
          rows={2}
          className="font-mono text-[12.5px]"
          spellCheck={false}
          placeholder='{"customer": "c-17"}'
          value={draft.metadata}
          error={faultAt(faults, "metadata")}
          onChange={(event) => onChange({ metadata: event.target.value })}
        />
        <Further {...props} />
      </div>
    </details>
  );
}

/** What the form has no field for, of the task that is run again. */
function Further(props: Props) {
  const { draft, onChange } = props;
  const rest = {
    ...draft.further,
    ...(draft.skills.length ? { [words.skills]: draft.skills } : {}),
  };
  if (Object.keys(rest).length === 0) return null;
  return (
    <div className="space-y-2 rounded-md bg-sunk p-3">
      <p className="font-medium">{words.further}</p>
      <JsonTree value={rest} />
      <Button size="small" onClick={() => onChange({ further: {}, skills: [] })}>
        {words.furtherRemove}
      </Button>
    </div>
  );
}
