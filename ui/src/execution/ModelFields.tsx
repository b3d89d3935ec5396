/** Provider and model. Ids that the catalogue does not know are accepted too, so the model is a text with suggestions. */
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import type { FieldFault } from "@/api/client";
import { SelectField, TextField } from "@/widgets/Fields";
import { describeModel, modelsQuery, OFFLINE, useProviders } from "./models";
import { faultAt } from "./policy";
import { words } from "./words";

type Props = {
  provider: string;
  model: string;
  onChange: (change: { provider?: string; model?: string }) => void;
  faults: readonly FieldFault[];
  /** `overrides` or `defaults`. */
  path: string;
  /** The provider and model that empty fields stand for. */
  inherited?: { provider: string; model: string };
  /** What an empty provider is called; without it there is none. */
  emptyLabel?: string;
  disabled?: boolean;
};

export function ModelFields(props: Props) {
  const { provider, model, onChange, faults, path, inherited } = props;
  const list = useId();
  const providers = useProviders();
  const models = useQuery(modelsQuery).data?.data ?? [];
  const effective = provider || inherited?.provider || "";
  const offered = models.filter((each) => each.provider === effective);
  const known = offered.find((each) => each.id === (model || inherited?.model));
  const shown = providers.includes(provider) || provider === "" ? providers : [provider, ...providers];
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      <SelectField
        label={words.provider}
        value={provider}
        disabled={props.disabled}
        error={faultAt(faults, `${path}.provider`)}
        onChange={(event) => onChange({ provider: event.target.value, model: "" })}
      >
        {props.emptyLabel !== undefined && <option value="">{props.emptyLabel}</option>}
        {shown.map((name) => (
          <option key={name} value={name}>
            {name === OFFLINE ? words.offline : name}
          </option>
        ))}
      </SelectField>
      <TextField
        label={words.model}
        list={list}
        value={model}
        disabled={props.disabled}
        placeholder={effective === OFFLINE ? "offline-script" : provider === "" ? inherited?.model : ""}
        hint={known ? describeModel(known) : undefined}
        error={faultAt(faults, `${path}.model`)}
        onChange={(event) => onChange({ model: event.target.value })}
      />
      <datalist id={list}>
        {offered.map((each) => (
          <option key={each.id} value={each.id}>
            {describeModel(each)}
          </option>
        ))}
      </datalist>
    </div>
  );
}
