/** The form of an agent, and the review of its changes before they are saved. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { capabilitiesQuery } from "@/api/queries";
import type { Agent } from "@/api/types";
import { ModelFields } from "@/execution/ModelFields";
import { PolicyFields } from "@/execution/PolicyFields";
import { faultAt } from "@/execution/policy";
import { whole } from "@/parts/format";
import { Panel } from "@/parts/Page";
import { ErrorNote } from "@/parts/States";
import { UploadList } from "@/upload/UploadList";
import { Button } from "@/widgets/Button";
import { SelectField, SwitchField, TextArea, TextField } from "@/widgets/Fields";
import { byteLength, type Key } from "./form";
import { Review } from "./Review";
import type { Editor as State } from "./useEditor";
import { words } from "./words";

const MAX_PROMPT_BYTES = 100_000;
const NOTE = "flex flex-wrap items-center gap-3 rounded-md bg-amber-soft px-3 py-2 text-amber";

/** `agent` null: a new one. */
export function Editor(props: {
  agent: Agent | null;
  state: State;
  isReadOnly: boolean;
  isIncomplete: boolean;
}) {
  const { agent, state, isReadOnly } = props;
  const [isReviewing, setReviewing] = useState(false);
  const { form, set } = state;
  const field = (name: Key & keyof typeof TEXTS) => ({
    ...TEXTS[name],
    value: form[name] as string,
    disabled: isReadOnly,
    error: faultAt(state.faults, PATHS[name]),
    onChange: (event: { target: { value: string } }) => set({ [name]: event.target.value }),
  });
  const size = byteLength(form.basePrompt);
  return (
    <form
      className="space-y-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (agent === null) state.save.mutate();
        else if (state.isDirty) setReviewing(true);
      }}
    >
      {state.isBehind && state.isDirty && agent && (
        <p role="status" className={NOTE}>
          {words.newer(agent.currentVersion.number)}
          <Button size="small" onClick={() => void state.adopt(agent)}>
            {words.takeNewer}
          </Button>
        </p>
      )}
      <div className="grid grid-cols-1 items-start gap-4 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
        <div className="space-y-4">
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField required {...field("name")} />
            <TextField {...field("description")} />
          </div>
          <div>
            <TextArea
              {...field("basePrompt")}
              rows={22}
              spellCheck={false}
              className="font-mono text-[13px] leading-relaxed"
            />
            <p
              className={`text-right text-[13px] tabular-nums ${size > MAX_PROMPT_BYTES ? "text-red" : "text-soft"}`}
            >
              {words.bytes(whole(size), whole(MAX_PROMPT_BYTES))}
            </p>
          </div>
        </div>
        <div className="space-y-4">
          <Defaults state={state} isNew={agent === null} isReadOnly={isReadOnly} field={field} />
          <Panel title={words.files}>
            <div className="space-y-4 p-4">
              {props.isIncomplete && <p className="text-amber">{words.filesMissing}</p>}
              <fieldset disabled={isReadOnly} className="space-y-4">
                <UploadList
                  queue={state.queues.references}
                  label={words.references}
                  hint={words.referencesHint}
                  error={faultAt(state.faults, "referenceFileIds")}
                />
                <UploadList
                  queue={state.queues.skills}
                  label={words.skills}
                  hint={words.skillsHint}
                  error={faultAt(state.faults, "skills")}
                />
              </fieldset>
            </div>
          </Panel>
        </div>
      </div>
      {!isReadOnly && <Bar agent={agent} state={state} />}
      {agent && (
        <Review agent={agent} state={state} isOpen={isReviewing} onClose={() => setReviewing(false)} />
      )}
    </form>
  );
}

/** Stays at the lower edge while there is something to save. */
function Bar(props: { agent: Agent | null; state: State }) {
  const { agent, state } = props;
  const isBlocked = state.pending > 0 || state.hasFailed || !state.form.name.trim();
  return (
    <div className="sticky bottom-0 -mx-1 space-y-2 border-t border-line bg-page px-1 py-3">
      {agent === null && <ErrorNote error={state.save.error} />}
      <div className="flex flex-wrap items-center gap-3">
        <Button kind="primary" type="submit" disabled={isBlocked || !state.isDirty || state.save.isPending}>
          {agent === null ? words.create : words.review}
        </Button>
        {state.isDirty && agent !== null && (
          <>
            <Button onClick={state.discard}>{words.discard}</Button>
            <span className="text-soft">{words.unsaved}</span>
          </>
        )}
        {state.pending > 0 && <span className="text-soft">{words.uploading}</span>}
        {state.hasFailed && <span className="text-red">{words.failedUploads}</span>}
      </div>
    </div>
  );
}

type Field = (name: Key & keyof typeof TEXTS) => {
  label: string;
  value: string;
  disabled: boolean;
  error: string | null;
  onChange: (event: { target: { value: string } }) => void;
};

function Defaults(props: { state: State; isNew: boolean; isReadOnly: boolean; field: Field }) {
  const { state, isNew, isReadOnly, field } = props;
  const { form, set, faults } = state;
  const regions = useQuery(capabilitiesQuery).data?.regions ?? [];
  return (
    <Panel title={words.defaults}>
      <div className="space-y-3 p-4">
        <p className="text-[13px] text-soft">{words.defaultsNote}</p>
        <ModelFields
          provider={form.provider}
          model={form.model}
          onChange={set}
          faults={faults}
          path="defaults"
          emptyLabel={isNew ? words.platformDefault : undefined}
          disabled={isReadOnly}
        />
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField {...field("weakModel")} />
          <TextField inputMode="decimal" {...field("maxMinutes")} />
          <TextField inputMode="decimal" {...field("softMinutes")} />
          <TextField inputMode="decimal" {...field("ttlMinutes")} />
        </div>
        <SwitchField
          label={words.internet}
          isOn={form.internetAccess}
          disabled={isReadOnly}
          onChange={(internetAccess) => set({ internetAccess })}
        />
        <SelectField
          label={words.region}
          value={form.region}
          disabled={isReadOnly}
          error={faultAt(faults, "defaults.runtimeRegion")}
          onChange={(event) => set({ region: event.target.value })}
        >
          {isNew && <option value="">{words.platformDefault}</option>}
          {regions.map(({ region }) => (
            <option key={region} value={region}>
              {region}
            </option>
          ))}
        </SelectField>
        <PolicyFields
          form={form.policy}
          onChange={(policy) => set({ policy })}
          faults={faults}
          path="defaults.outputPolicy"
          inherited={isNew ? words.platformDefault : undefined}
          disabled={isReadOnly}
        />
        <TextField spellCheck={false} className="font-mono text-[12.5px]" {...field("image")} />
      </div>
    </Panel>
  );
}

const TEXTS = {
  name: { label: words.name },
  description: { label: words.description },
  basePrompt: { label: words.prompt, hint: words.promptHint },
  image: { label: words.image, hint: words.imageHint },
  weakModel: { label: words.weakModel, hint: words.weakModelHint },
  maxMinutes: { label: words.maxMinutes },
  softMinutes: { label: words.softMinutes },
  ttlMinutes: { label: words.ttlMinutes },
};

const PATHS: Record<keyof typeof TEXTS, string> = {
  name: "name",
  description: "description",
  basePrompt: "basePrompt",
  image: "runtime",
  weakModel: "defaults.weakModel",
  maxMinutes: "defaults.maxRuntimeSeconds",
  softMinutes: "defaults.softFinishAfterSeconds",
  ttlMinutes: "defaults.sessionTtlSeconds",
};
