import { type FormEvent, useState } from "react";
import { SelectField, TextField } from "@/widgets/Fields";
import { KINDS, type Search, SIZES, TYPES } from "./search";
import { words } from "./words";

export function Filters(props: { search: Search; onChange: (search: Search) => void }) {
  const { search, onChange } = props;
  const [task, setTask] = useState(search.task ?? "");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onChange({ ...search, task: task.trim() || undefined });
  };
  const choose = (name: "kind" | "type" | "min", value: string) =>
    onChange({ ...search, [name]: value || undefined });
  return (
    <form onSubmit={submit} className="mb-3 grid grid-cols-2 gap-3 sm:grid-cols-4">
      <SelectField
        label={words.kind}
        value={search.kind ?? ""}
        onChange={(event) => choose("kind", event.target.value)}
      >
        <option value="">{words.any}</option>
        {KINDS.map((kind) => (
          <option key={kind} value={kind}>
            {words.kinds[kind]}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.type}
        value={search.type ?? ""}
        onChange={(event) => choose("type", event.target.value)}
      >
        <option value="">{words.any}</option>
        {TYPES.map((type) => (
          <option key={type} value={type}>
            {words.types[type]}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.size}
        value={search.min ?? ""}
        onChange={(event) => choose("min", event.target.value)}
      >
        <option value="">{words.any}</option>
        {SIZES.map((size) => (
          <option key={size} value={size}>
            {words.sizes[size]}
          </option>
        ))}
      </SelectField>
      <TextField
        label={words.task}
        type="search"
        placeholder="tsk_…"
        value={task}
        onChange={(event) => setTask(event.target.value)}
        onBlur={() =>
          task.trim() !== (search.task ?? "") && onChange({ ...search, task: task.trim() || undefined })
        }
      />
    </form>
  );
}
