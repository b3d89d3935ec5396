import { Link } from "@tanstack/react-router";
import {
  Bot,
  ChartColumn,
  Folder,
  House,
  KeyRound,
  ListTodo,
  type LucideIcon,
  MessagesSquare,
  Server,
  Webhook,
} from "lucide-react";
import type { ReactElement } from "react";
import type { CurrentSession } from "@/api/types";
import { Menu, MenuItem, MenuLine } from "@/widgets/Menu";
import { words } from "@/words";
import { AccountItems } from "./AccountMenu";

export type NavItem = {
  to:
    | "/"
    | "/tasks"
    | "/conversations"
    | "/agents"
    | "/files"
    | "/usage"
    | "/webhooks"
    | "/keys"
    | "/installation";
  label: string;
  icon: LucideIcon;
  /** The key after `g`. */
  key: string;
};

const ITEMS: NavItem[] = [
  { to: "/", label: words.nav.overview, icon: House, key: "o" },
  { to: "/tasks", label: words.nav.tasks, icon: ListTodo, key: "t" },
  { to: "/conversations", label: words.nav.conversations, icon: MessagesSquare, key: "c" },
  { to: "/agents", label: words.nav.agents, icon: Bot, key: "a" },
  { to: "/files", label: words.nav.files, icon: Folder, key: "f" },
  { to: "/usage", label: words.nav.usage, icon: ChartColumn, key: "u" },
  { to: "/webhooks", label: words.nav.webhooks, icon: Webhook, key: "w" },
  { to: "/keys", label: words.nav.keys, icon: KeyRound, key: "k" },
];
const INSTALLATION: NavItem = { to: "/installation", label: words.nav.installation, icon: Server, key: "i" };

export const PHONE_ITEMS = ITEMS.filter((item) => item.to === "/tasks" || item.to === "/conversations");

export function navItems(session: CurrentSession): NavItem[] {
  return session.isOperator ? [...ITEMS, INSTALLATION] : ITEMS;
}

/** The rest of the bar, on phones. */
export function MoreNav(props: {
  session: CurrentSession;
  onHelp: () => void;
  children: ReactElement<Record<string, unknown>>;
}) {
  const items = navItems(props.session).filter((item) => !PHONE_ITEMS.includes(item));
  return (
    <Menu trigger={props.children}>
      {items.map((item) => (
        <MenuItem key={item.to}>
          <Link to={item.to} className="flex flex-1 items-center gap-2">
            <item.icon aria-hidden size={15} />
            {item.label}
          </Link>
        </MenuItem>
      ))}
      <MenuLine />
      <AccountItems session={props.session} onHelp={props.onHelp} />
    </Menu>
  );
}
