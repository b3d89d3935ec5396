import { Tabs as Base } from "@base-ui/react/tabs";
import type { ReactNode } from "react";

export type Tab = { value: string; label: ReactNode; content: ReactNode };

/** Tabs whose value the caller keeps, usually in the URL. */
export function Tabs(props: {
  value: string;
  onChange: (value: string) => void;
  tabs: Tab[];
  className?: string;
}) {
  return (
    <Base.Root
      value={props.value}
      onValueChange={(value) => props.onChange(String(value))}
      className={props.className}
    >
      <Base.List className="flex gap-1 overflow-x-auto border-b border-line px-2">
        {props.tabs.map((tab) => (
          <Base.Tab
            key={tab.value}
            value={tab.value}
            className="border-b-2 border-transparent px-3 py-2 font-medium whitespace-nowrap text-soft data-[active]:border-accent data-[active]:text-ink"
          >
            {tab.label}
          </Base.Tab>
        ))}
      </Base.List>
      {props.tabs.map((tab) => (
        <Base.Panel key={tab.value} value={tab.value} className="min-h-0 outline-none">
          {tab.content}
        </Base.Panel>
      ))}
    </Base.Root>
  );
}
