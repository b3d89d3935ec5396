import { Tooltip } from "@base-ui/react/tooltip";
import type { ReactElement } from "react";

/** A tooltip. Its text must also be readable elsewhere, or be of little importance: touch screens do not show it. */
export function Tip(props: { text: string; children: ReactElement<Record<string, unknown>> }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger render={props.children} delay={300} />
      <Tooltip.Portal>
        <Tooltip.Positioner sideOffset={6} className="z-50">
          <Tooltip.Popup className="max-w-sm rounded-md bg-ink px-2 py-1 text-[12px] text-page shadow">
            {props.text}
          </Tooltip.Popup>
        </Tooltip.Positioner>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
