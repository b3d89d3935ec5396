/** The command palette: goes to screens, and finds tasks by id or title. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useDeferredValue, useState } from "react";
import { liveTasksQuery } from "@/api/queries";
import type { CurrentSession } from "@/api/types";
import { Name } from "@/content/Text";
import { Status } from "@/parts/Status";
import { Dialog } from "@/widgets/Dialogs";
import { INPUT } from "@/widgets/Fields";
import { words } from "@/words";
import { navItems } from "./nav";

type Choice = { key: string; label: React.ReactNode; go: () => void };

export function Palette(props: { isOpen: boolean; onClose: () => void; session: CurrentSession }) {
  return (
    <Dialog isOpen={props.isOpen} onClose={props.onClose} title={words.palette.title}>
      <Search session={props.session} onDone={props.onClose} />
    </Dialog>
  );
}

function Search(props: { session: CurrentSession; onDone: () => void }) {
  const [text, setText] = useState("");
  const [place, setPlace] = useState(0);
  const choices = useChoices(text.trim(), props.session, props.onDone);
  const at = Math.min(place, choices.length - 1);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") choices[at]?.go();
    else if (event.key === "ArrowDown") setPlace(Math.min(at + 1, choices.length - 1));
    else if (event.key === "ArrowUp") setPlace(Math.max(at - 1, 0));
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        // biome-ignore lint/a11y/noAutofocus: who opens the palette wants to type
        autoFocus
        role="combobox"
        aria-expanded
        aria-controls="palette-choices"
        aria-activedescendant={choices[at] ? `palette-${at}` : undefined}
        aria-label={words.palette.title}
        placeholder={words.palette.placeholder}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setPlace(0);
        }}
        onKeyDown={onKeyDown}
        className={INPUT}
      />
      <div
        id="palette-choices"
        role="listbox"
        aria-label={words.palette.title}
        className="mt-2 max-h-80 overflow-y-auto"
      >
        {choices.map((choice, index) => (
          <div
            key={choice.key}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === at}
            tabIndex={-1}
            onClick={choice.go}
            onKeyDown={() => {}}
            className="flex cursor-pointer items-center gap-2 rounded px-2 py-1.5 hover:bg-sunk aria-selected:bg-accent-soft"
          >
            {choice.label}
          </div>
        ))}
        {choices.length === 0 && <div className="px-2 py-1.5 text-soft">{words.palette.none}</div>}
      </div>
    </>
  );
}

function useChoices(text: string, session: CurrentSession, onDone: () => void): Choice[] {
  const navigate = useNavigate();
  const query = useDeferredValue(text);
  const tasks = useQuery({ ...liveTasksQuery("palette", { q: query }, 8), enabled: query.length >= 2 });
  const go = (move: () => void) => () => {
    onDone();
    move();
  };
  const needle = text.toLowerCase();
  const screens: Choice[] = navItems(session)
    .filter((item) => item.label.toLowerCase().includes(needle))
    .map((item) => ({ key: item.to, label: item.label, go: go(() => void navigate({ to: item.to })) }));
  if (session.role !== "viewer" && words.nav.newTask.toLowerCase().includes(needle)) {
    screens.push({ key: "new", label: words.nav.newTask, go: go(() => void navigate({ to: "/tasks/new" })) });
  }
  const found: Choice[] = (query.length >= 2 ? (tasks.data?.data ?? []) : []).map((task) => ({
    key: task.id,
    label: (
      <>
        <Status status={task.status} completion={task.completion} />
        <Name text={task.title ?? task.id} className="truncate" />
      </>
    ),
    go: go(() => {
      if (task.mode === "conversation")
        void navigate({ to: "/conversations/$taskId", params: { taskId: task.id } });
      else void navigate({ to: "/tasks/$taskId", params: { taskId: task.id } });
    }),
  }));
  return [...screens, ...found];
}
