import { ChevronsUpDown, Keyboard, LogOut, Monitor, Moon, Sun } from "lucide-react";
import type { CurrentSession } from "@/api/types";
import { Name } from "@/content/Text";
import { type Prefs, setPrefs } from "@/prefs";
import { Menu, MenuItem, MenuLine, MenuTitle } from "@/widgets/Menu";
import { words } from "@/words";
import { logOut } from "./logout";

/** The account's name is always shown: nobody works in another account unnoticed. */
export function AccountMenu(props: { session: CurrentSession; onHelp: () => void }) {
  return (
    <div className="border-t border-line p-2">
      <Menu
        trigger={
          <button
            type="button"
            className="flex w-full items-center gap-2 rounded-md px-2 py-1.5 text-left hover:bg-sunk"
          >
            <span className="min-w-0 flex-1">
              <Name text={props.session.account.name} className="block truncate font-medium" />
              <span className="block text-[12px] text-soft">{props.session.role}</span>
            </span>
            <ChevronsUpDown aria-hidden size={14} className="text-soft" />
          </button>
        }
      >
        <AccountItems {...props} />
      </Menu>
    </div>
  );
}

const THEMES: [Prefs["theme"], typeof Sun][] = [
  ["system", Monitor],
  ["light", Sun],
  ["dark", Moon],
];

export function AccountItems(props: { session: CurrentSession; onHelp: () => void }) {
  return (
    <>
      <MenuTitle>
        {words.account}: <Name text={props.session.account.name} />
      </MenuTitle>
      {THEMES.map(([theme, Icon]) => (
        <MenuItem key={theme} onClick={() => setPrefs({ theme })}>
          <Icon aria-hidden size={14} /> {words.theme[theme]}
        </MenuItem>
      ))}
      <MenuLine />
      <MenuItem onClick={props.onHelp}>
        <Keyboard aria-hidden size={14} /> {words.keys.title}
      </MenuItem>
      <MenuItem onClick={() => void logOut()}>
        <LogOut aria-hidden size={14} /> {words.logOut}
      </MenuItem>
    </>
  );
}
