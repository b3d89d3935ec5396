/** The menu "Copy as" of an object: its id, link, JSON, and how to get it with curl, Python and the command line. */
import { ClipboardCopy } from "lucide-react";
import { Button } from "@/widgets/Button";
import { Menu, MenuItem, MenuTitle } from "@/widgets/Menu";
import { notify } from "@/widgets/Toasts";
import { words } from "@/words";
import { copy } from "./copy";

export type CopyForms = {
  id?: string;
  /** The path of the object's page. */
  page?: string;
  json?: unknown;
  curl?: string;
  python?: string;
  cli?: string;
};

export function CopyAs(props: { forms: CopyForms }) {
  const { id, page, json, curl, python, cli } = props.forms;
  const texts: [string, string | undefined][] = [
    ["id", id],
    ["link", page && `${location.origin}${page}`],
    ["JSON", json === undefined ? undefined : JSON.stringify(json, null, 2)],
    ["curl", curl],
    ["Python", python],
    ["CLI", cli],
  ];
  return (
    <Menu
      trigger={
        <Button>
          <ClipboardCopy aria-hidden size={14} /> Copy as
        </Button>
      }
    >
      <MenuTitle>Copy as</MenuTitle>
      {texts.map(
        ([name, text]) =>
          text !== undefined && (
            <MenuItem key={name} onClick={() => void copyAndTell(text, name)}>
              {name}
            </MenuItem>
          ),
      )}
    </Menu>
  );
}

async function copyAndTell(text: string, name: string): Promise<void> {
  notify((await copy(text)) ? `${words.copied}: ${name}` : words.copyFailed);
}
