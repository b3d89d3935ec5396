import { Plus, X } from "lucide-react";
import type { FieldFault } from "@/api/client";
import { faultAt } from "@/execution/policy";
import { Button } from "@/widgets/Button";
import { TextField } from "@/widgets/Fields";
import { NO_REPOSITORY, type Repository } from "./draft";
import { words } from "./words";

export function Repositories(props: {
  repositories: Repository[];
  onChange: (repositories: Repository[]) => void;
  faults: readonly FieldFault[];
}) {
  const { repositories, onChange, faults } = props;
  const set = (index: number, change: Partial<Repository>) =>
    onChange(repositories.map((each, place) => (place === index ? { ...each, ...change } : each)));
  return (
    <fieldset className="space-y-2">
      <legend className="mb-1 font-medium">{words.repositories}</legend>
      {repositories.map((repository, index) => {
        const field = (name: keyof Repository, rest: { label: string; type?: string; hint?: string }) => (
          <TextField
            {...rest}
            autoComplete="off"
            spellCheck={false}
            value={repository[name]}
            error={faultAt(faults, `inputRepositories.${index}.${name}`)}
            onChange={(event) => set(index, { [name]: event.target.value })}
          />
        );
        return (
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: the rows have no other identity
            key={index}
            className="relative grid gap-2 rounded-md border border-line p-3 pr-11 sm:grid-cols-2"
          >
            {field("url", { label: words.url })}
            {field("ref", { label: words.ref })}
            {field("path", { label: words.path })}
            {field("token", { label: words.token, type: "password", hint: words.tokenHint })}
            <Button
              kind="quiet"
              size="small"
              className="absolute top-2 right-2"
              onClick={() => onChange(repositories.filter((_, place) => place !== index))}
            >
              <X aria-hidden size={14} />
              <span className="sr-only">
                {words.remove} {repository.url}
              </span>
            </Button>
          </div>
        );
      })}
      <Button size="small" onClick={() => onChange([...repositories, NO_REPOSITORY])}>
        <Plus aria-hidden size={14} /> {words.addRepository}
      </Button>
      {faults.some(({ path }) => path === "inputRepositories") && (
        <p role="alert" className="text-[13px] text-red">
          {faultAt(faults, "inputRepositories")}
        </p>
      )}
    </fieldset>
  );
}
