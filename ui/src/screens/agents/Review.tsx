/** Shows what saving would change, and saves. */
import type { Agent } from "@/api/types";
import { Name } from "@/content/Text";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Dialog } from "@/widgets/Dialogs";
import { words as shared } from "@/words";
import { comparable, differences, draftVersion } from "./form";
import type { Editor } from "./useEditor";
import { VersionDiff } from "./VersionDiff";
import { words } from "./words";

export function Review(props: { agent: Agent; state: Editor; isOpen: boolean; onClose: () => void }) {
  const { agent, state, onClose } = props;
  const { currentVersion } = agent;
  const next = currentVersion.number + 1;
  const before = comparable(currentVersion);
  const after = draftVersion(currentVersion, state.change, `v${next}`);
  const makesVersion = differences(before, after).length > 0;
  const { name, description } = state.change;
  return (
    <Dialog
      side
      isOpen={props.isOpen}
      onClose={onClose}
      title={makesVersion ? words.reviewTitle(next) : words.reviewInPlace}
    >
      <div className="space-y-4">
        {state.hadConflict && (
          <p role="alert" className="rounded-md bg-amber-soft px-3 py-2 text-amber">
            {words.conflict(currentVersion.number)}
          </p>
        )}
        {makesVersion && <VersionDiff before={before} after={after} />}
        {(name != null || description != null) && (
          <div>
            {name != null && <InPlace label={words.name} before={agent.name} after={name} />}
            {description != null && (
              <InPlace label={words.description} before={agent.description} after={description} />
            )}
            <p className="mt-1 text-[13px] text-soft">{words.inPlaceNote}</p>
          </div>
        )}
        {state.faults.length > 0 && (
          <ul role="alert" className="rounded-md bg-red-soft px-3 py-2 text-red">
            {state.faults.map((fault) => (
              <li key={`${fault.path} ${fault.message}`}>
                {fault.path}: {fault.message}
              </li>
            ))}
          </ul>
        )}
        {!state.hadConflict && <ErrorNote error={state.save.error} />}
        <div className="sticky -bottom-4 flex justify-end gap-2 border-t border-line bg-panel py-3">
          <Button onClick={onClose}>{shared.back}</Button>
          <Button
            kind="primary"
            disabled={state.save.isPending}
            onClick={() => state.save.mutate(undefined, { onSuccess: onClose })}
          >
            {makesVersion ? words.save(next) : words.saveInPlace}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function InPlace(props: { label: string; before: string; after: string }) {
  return (
    <p>
      <span className="text-soft">{props.label}: </span>
      <Name text={props.before || "—"} className="bg-red-soft line-through" /> →{" "}
      <Name text={props.after || "—"} className="bg-green-soft" />
    </p>
  );
}
