/** What is around every screen: the bars, the connection, the palette, the shortcuts. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { Menu as MenuIcon, Plus, Search } from "lucide-react";
import { Suspense, useEffect, useState } from "react";
import { ApiError } from "@/api/client";
import { startFeed, useConnection } from "@/api/feed";
import { sessionQuery } from "@/api/queries";
import type { CurrentSession } from "@/api/types";
import { copy } from "@/parts/copy";
import { ErrorState, Skeleton } from "@/parts/States";
import { getPrefs, setPrefs } from "@/prefs";
import { Button, buttonLook } from "@/widgets/Button";
import { notify } from "@/widgets/Toasts";
import { words } from "@/words";
import { AccountMenu } from "./AccountMenu";
import { Help } from "./Help";
import { focusRow, installShortcuts, useShortcut } from "./keys";
import { MoreNav, navItems, PHONE_ITEMS } from "./nav";
import { Palette } from "./Palette";

export function Shell() {
  const session = useQuery(sessionQuery);
  const navigate = useNavigate();
  const isLoggedOut = session.error instanceof ApiError && session.error.status === 401;
  const href = useRouterState({ select: (state) => state.location.href });
  useEffect(() => {
    // The address changes before this component goes: do not come back to the login after the login.
    if (isLoggedOut && !href.startsWith("/login"))
      void navigate({ to: "/login", search: href === "/" ? {} : { to: href }, replace: true });
  }, [isLoggedOut, navigate, href]);
  if (session.data && !isLoggedOut) return <Inside session={session.data} />;
  if (session.isError && !isLoggedOut)
    return <ErrorState error={session.error} onRetry={() => void session.refetch()} />;
  return <Skeleton />;
}

function Inside(props: { session: CurrentSession }) {
  const feed = startFeed(useQueryClient());
  const connection = useConnection(feed);
  const [dialog, setDialog] = useState<"palette" | "help" | null>(null);
  useEffect(installShortcuts, []);
  useGlobalShortcuts(
    () => setDialog("palette"),
    () => setDialog("help"),
    props.session,
  );
  const mayWrite = props.session.role !== "viewer";
  return (
    <div className="flex h-full">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-2"
      >
        {words.skip}
      </a>
      <nav aria-label="Main" className="hidden w-48 shrink-0 flex-col border-r border-line bg-panel sm:flex">
        <p className="px-4 py-3.5 font-semibold">{words.product}</p>
        <ul className="flex-1 space-y-0.5 overflow-y-auto px-2">
          {navItems(props.session).map((item) => (
            <li key={item.to}>
              <Link
                to={item.to}
                activeOptions={{ exact: item.to === "/" }}
                className="flex items-center gap-2.5 rounded-md px-2 py-1.5 text-soft hover:bg-sunk hover:text-ink data-[status=active]:bg-accent-soft data-[status=active]:font-medium data-[status=active]:text-ink"
              >
                <item.icon aria-hidden size={16} />
                {item.label}
              </Link>
            </li>
          ))}
        </ul>
        <AccountMenu session={props.session} onHelp={() => setDialog("help")} />
      </nav>
      <div className="flex min-w-0 flex-1 flex-col">
        <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line bg-panel px-3">
          <Button
            kind="quiet"
            onClick={() => setDialog("palette")}
            className="text-soft"
            aria-label={words.palette.title}
          >
            <Search aria-hidden size={15} />
            <span className="hidden sm:inline">{words.palette.placeholder}</span>
            <kbd className="hidden rounded border border-line px-1 text-[11px] sm:inline">⌘K</kbd>
          </Button>
          <span className="flex-1" />
          <ConnectionDot state={connection} />
          {mayWrite && (
            <Link to="/tasks/new" className={`${buttonLook("primary")} max-sm:hidden`}>
              <Plus aria-hidden size={15} />
              {words.nav.newTask}
            </Link>
          )}
        </header>
        {connection === "offline" && (
          <p role="status" className="bg-amber-soft px-4 py-1.5 text-amber">
            {words.offline}
          </p>
        )}
        <main
          id="content"
          data-scroll-restoration-id="content"
          tabIndex={-1}
          className="min-h-0 flex-1 overflow-y-auto outline-none"
        >
          <Suspense fallback={<Skeleton />}>
            <Outlet />
          </Suspense>
        </main>
        <PhoneBar mayWrite={mayWrite} session={props.session} onHelp={() => setDialog("help")} />
      </div>
      <Palette isOpen={dialog === "palette"} onClose={() => setDialog(null)} session={props.session} />
      <Help isOpen={dialog === "help"} onClose={() => setDialog(null)} />
    </div>
  );
}

function ConnectionDot(props: { state: "live" | "reconnecting" | "offline" }) {
  const look = { live: "bg-green", reconnecting: "bg-amber pulse-slow", offline: "bg-red" }[props.state];
  return (
    <span role="status" className="flex items-center gap-1.5 text-[13px] text-soft">
      <span aria-hidden className={`size-2 rounded-full ${look}`} />
      {words.connection[props.state]}
    </span>
  );
}

function PhoneBar(props: { mayWrite: boolean; session: CurrentSession; onHelp: () => void }) {
  const look =
    "flex flex-1 flex-col items-center gap-0.5 py-2 text-[12px] text-soft data-[status=active]:font-medium data-[status=active]:text-accent";
  return (
    <nav aria-label="Main" className="flex shrink-0 border-t border-line bg-panel sm:hidden">
      {PHONE_ITEMS.map((item) => (
        <Link key={item.to} to={item.to} className={look}>
          <item.icon aria-hidden size={18} />
          {item.label}
        </Link>
      ))}
      {props.mayWrite && (
        <Link to="/tasks/new" className={look}>
          <Plus aria-hidden size={18} />
          New
        </Link>
      )}
      <MoreNav session={props.session} onHelp={props.onHelp}>
        <button type="button" className={look}>
          <MenuIcon aria-hidden size={18} />
          {words.nav.more}
        </button>
      </MoreNav>
    </nav>
  );
}

function useGlobalShortcuts(openPalette: () => void, openHelp: () => void, session: CurrentSession): void {
  const navigate = useNavigate();
  useShortcut("mod+k", openPalette);
  useShortcut("?", openHelp);
  useShortcut("c", () => {
    if (session.role !== "viewer") void navigate({ to: "/tasks/new" });
  });
  useShortcut("t", () => setPrefs({ exactTimes: !getPrefs().exactTimes }));
  useShortcut("y", async () =>
    notify((await copy(location.href)) ? `${words.copied}: link` : words.copyFailed),
  );
  useShortcut("j", () => focusRow(1));
  useShortcut("k", () => focusRow(-1));
  useShortcut("/", () => {
    const field = document.querySelector<HTMLElement>('input[type="search"]');
    if (field) field.focus();
    else openPalette();
  });
  const targets = navItems(session);
  const go = (letter: string) => {
    const item = targets.find((each) => each.key === letter);
    if (item) void navigate({ to: item.to });
  };
  for (const letter of ["o", "t", "c", "a", "f", "u", "w", "k", "i"]) {
    // biome-ignore lint/correctness/useHookAtTopLevel: the list is constant
    useShortcut(`g ${letter}`, () => go(letter));
  }
}
