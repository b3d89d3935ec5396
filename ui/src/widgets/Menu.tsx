import { Menu as Base } from "@base-ui/react/menu";
import type { ReactElement, ReactNode } from "react";

export function Menu(props: {
  trigger: ReactElement<Record<string, unknown>>;
  children: ReactNode;
  label?: string;
}) {
  return (
    <Base.Root>
      <Base.Trigger render={props.trigger} aria-label={props.label} />
      <Base.Portal>
        <Base.Positioner sideOffset={6} align="end" className="z-50 outline-none">
          <Base.Popup className="max-h-[70vh] min-w-44 overflow-y-auto rounded-lg border border-line bg-panel py-1 shadow-lg outline-none">
            {props.children}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}

export function MenuItem(props: {
  onClick?: () => void;
  children: ReactNode;
  isDanger?: boolean;
  disabled?: boolean;
}) {
  return (
    <Base.Item
      onClick={props.onClick}
      disabled={props.disabled}
      className={`flex cursor-pointer items-center gap-2 px-3 py-1.5 outline-none data-[disabled]:opacity-50 data-[highlighted]:bg-sunk ${props.isDanger ? "text-red" : ""}`}
    >
      {props.children}
    </Base.Item>
  );
}

export function MenuTitle(props: { children: ReactNode }) {
  return <div className="px-3 pt-2 pb-1 text-[12px] text-soft">{props.children}</div>;
}

export function MenuLine() {
  return <Base.Separator className="my-1 border-t border-line" />;
}
