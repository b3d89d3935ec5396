import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Bookmark, ListFilter, X } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { agentsQuery } from "@/api/queries";
import { Name } from "@/content/Text";
import { Button } from "@/widgets/Button";
import { SelectField, TextField } from "@/widgets/Fields";
import { Menu, MenuItem, MenuLine } from "@/widgets/Menu";
import { statusWords } from "@/words";
import { chips } from "./filters";
import { ERROR_CODES, MODES, RANGES, type Search, STATUSES } from "./search";
import { loadViews, saveViews, type View } from "./views";
import { words } from "./words";

const route = getRouteApi("/shell/tasks");

export function FilterBar(props: { search: Search }) {
  const { search } = props;
  const navigate = route.useNavigate();
  const agents = useQuery(agentsQuery);
  const [isOpen, setOpen] = useState(false);
  const set = (next: Search) => void navigate({ search: next, replace: true });
  const nameOf = (id: string) => agents.data?.data.find((agent) => agent.id === id)?.name ?? id;
  const shown = chips(search, nameOf);
  return (
    <div className="mb-3 space-y-2">
      <div className="flex flex-wrap items-center gap-2">
        <SearchField search={search} onChange={set} />
        <Button aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          <ListFilter aria-hidden size={14} /> {words.more}
        </Button>
        <Views search={search} onChoose={set} />
      </div>
      {isOpen && <More search={search} onChange={set} />}
      {shown.length > 0 && (
        <ul className="flex flex-wrap gap-1.5">
          {shown.map((chip) => (
            <li
              key={chip.label}
              className="inline-flex items-center gap-1 rounded-full border border-line bg-panel py-0.5 pr-1 pl-2.5 text-[13px]"
            >
              <Name text={chip.label} />
              <button
                type="button"
                aria-label={words.remove(chip.label)}
                onClick={() => set(chip.without)}
                className="inline-flex size-6 items-center justify-center rounded-full hover:bg-sunk"
              >
                <X aria-hidden size={13} />
              </button>
            </li>
          ))}
          <li>
            <Button kind="quiet" size="small" onClick={() => set({})}>
              {words.clear}
            </Button>
          </li>
        </ul>
      )}
    </div>
  );
}

function SearchField(props: { search: Search; onChange: (search: Search) => void }) {
  const [text, setText] = useState(props.search.q ?? "");
  const { search, onChange } = props;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the URL follows the field once somebody stops typing
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text.trim() !== (search.q ?? "")) onChange({ ...search, q: text.trim() || undefined });
    }, 300);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div className="min-w-48 flex-1 sm:max-w-sm">
      <TextField
        isLabelHidden
        label={words.search}
        placeholder={words.search}
        type="search"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  );
}

function More(props: { search: Search; onChange: (search: Search) => void }) {
  const { search, onChange } = props;
  const agents = useQuery(agentsQuery);
  const [pair, setPair] = useState("");
  const toggle = (status: (typeof STATUSES)[number]) => {
    const old = search.status ?? [];
    const next = old.includes(status) ? old.filter((each) => each !== status) : [...old, status];
    onChange({ ...search, status: next.length ? next : undefined });
  };
  const addPair = (event: FormEvent) => {
    event.preventDefault();
    const at = pair.indexOf("=");
    if (at < 1) return;
    onChange({
      ...search,
      metadata: [...(search.metadata ?? []), `${pair.slice(0, at).trim()}:${pair.slice(at + 1).trim()}`],
    });
    setPair("");
  };
  const choice = <T extends string>(value: string): T | undefined => (value ? (value as T) : undefined);
  return (
    <div className="grid gap-3 rounded-lg border border-line bg-panel p-3 sm:grid-cols-3">
      <fieldset className="sm:col-span-3">
        <legend className="mb-1 font-medium">{words.status}</legend>
        <div className="flex flex-wrap gap-x-4 gap-y-1">
          {STATUSES.map((status) => (
            <label key={status} className="flex items-center gap-1.5">
              <input
                type="checkbox"
                checked={search.status?.includes(status) ?? false}
                onChange={() => toggle(status)}
              />
              {statusWords[status]}
            </label>
          ))}
        </div>
      </fieldset>
      <SelectField
        label={words.agent}
        value={search.agent ?? ""}
        onChange={(event) => onChange({ ...search, agent: choice(event.target.value) })}
      >
        <option value="">{words.any}</option>
        {agents.data?.data.map((agent) => (
          <option key={agent.id} value={agent.id}>
            {agent.name}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.mode}
        value={search.mode ?? ""}
        onChange={(event) => onChange({ ...search, mode: choice(event.target.value) })}
      >
        <option value="">{words.any}</option>
        {MODES.map((mode) => (
          <option key={mode} value={mode}>
            {words.modes[mode]}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.error}
        value={search.error ?? ""}
        onChange={(event) => onChange({ ...search, error: choice(event.target.value) })}
      >
        <option value="">{words.any}</option>
        {ERROR_CODES.map((code) => (
          <option key={code}>{code}</option>
        ))}
      </SelectField>
      <SelectField
        label={words.created}
        value={search.range ?? ""}
        onChange={(event) =>
          onChange({ ...search, range: choice(event.target.value), after: undefined, before: undefined })
        }
      >
        <option value="">{words.any}</option>
        {RANGES.map((range) => (
          <option key={range} value={range}>
            {words.ranges[range]}
          </option>
        ))}
      </SelectField>
      <div className="grid grid-cols-2 gap-2">
        <TextField
          label={words.from}
          type="date"
          value={search.after ?? ""}
          onChange={(event) => onChange({ ...search, after: choice(event.target.value), range: undefined })}
        />
        <TextField
          label={words.to}
          type="date"
          value={search.before ?? ""}
          onChange={(event) => onChange({ ...search, before: choice(event.target.value), range: undefined })}
        />
      </div>
      <form onSubmit={addPair}>
        <TextField
          label={words.metadata}
          placeholder={words.metadataHint}
          value={pair}
          onChange={(event) => setPair(event.target.value)}
        />
      </form>
    </div>
  );
}

/** Filters under a name, kept in this browser. */
function Views(props: { search: Search; onChoose: (search: Search) => void }) {
  const [views, setViews] = useState(loadViews);
  const [name, setName] = useState<string | null>(null);
  const change = (next: View[]) => {
    setViews(next);
    saveViews(next);
  };
  const save = (event: FormEvent) => {
    event.preventDefault();
    const chosen = name?.trim();
    if (chosen)
      change([...views.filter((view) => view.name !== chosen), { name: chosen, search: props.search }]);
    setName(null);
  };
  if (name !== null) {
    return (
      <form onSubmit={save} className="flex gap-2">
        <TextField
          isLabelHidden
          label={words.viewName}
          placeholder={words.viewName}
          autoFocus
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Button type="submit">{words.save}</Button>
      </form>
    );
  }
  return (
    <Menu
      trigger={
        <Button>
          <Bookmark aria-hidden size={14} /> {words.savedViews}
        </Button>
      }
    >
      {views.map((view) => (
        <MenuItem key={view.name} onClick={() => props.onChoose(view.search)}>
          {view.name}
        </MenuItem>
      ))}
      {views.length > 0 && <MenuLine />}
      {views.map((view) => (
        <MenuItem key={view.name} isDanger onClick={() => change(views.filter((each) => each !== view))}>
          {words.deleteView(view.name)}
        </MenuItem>
      ))}
      {views.length > 0 && <MenuLine />}
      <MenuItem onClick={() => setName("")}>{words.saveView}</MenuItem>
    </Menu>
  );
}
