import { useVirtualizer, type VirtualItem } from "@tanstack/react-virtual";
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import type { RunLog } from "@/log/run";

const NEAR_TOP = 600; // pixels from the top at which older events are loaded
const NEAR_END = 80;

export type Followed = {
  scroller: RefObject<HTMLDivElement | null>;
  items: VirtualItem[];
  height: number;
  measure: (element: Element | null) => void;
  isAtEnd: boolean;
  isNearTop: boolean;
  unread: number;
  toEnd: () => void;
};

/** The ids of a list's rows, without a copy of them. */
export type Ids = {
  count: number;
  at: (index: number) => string | undefined;
  indexOf: (id: string) => number;
};

/** The visible part of the list, which sticks to its end and stays put when somebody has scrolled up. */
export function useFollowedList(log: RunLog, list: Ids, chosen: string | null): Followed {
  const scroller = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(chosen === null);
  const [isNearTop, setNearTop] = useState(false);
  const [seen, setSeen] = useState(list.count);
  const virtualizer = useVirtualizer({
    count: list.count,
    getScrollElement: () => scroller.current,
    estimateSize: () => 36,
    getItemKey: (index) => list.at(index) ?? index,
    overscan: 12,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: NEAR_END,
  });
  const count = list.count;
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const onScroll = () => {
      const isNow = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
      setAtEnd(isNow && !log.state.hasNewer);
      setNearTop(element.scrollTop < NEAR_TOP);
      if (element.scrollTop < NEAR_TOP && log.state.hasOlder) void log.loadOlder();
      if (isNow && log.state.hasNewer) void log.loadNewer();
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, [log]);
  useEffect(() => {
    if (isAtEnd) setSeen(count);
  }, [isAtEnd, count]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the place is chosen once, when the list is first shown
  useEffect(() => {
    const index = chosen === null ? -1 : list.indexOf(chosen);
    if (index >= 0) virtualizer.scrollToIndex(index, { align: "center" });
    else virtualizer.scrollToEnd({});
  }, []);
  const toEnd = useCallback(() => {
    if (log.state.hasNewer) void log.open().then(() => virtualizer.scrollToEnd({}));
    else virtualizer.scrollToEnd({});
    setAtEnd(true);
  }, [log, virtualizer]);
  return {
    scroller,
    items: virtualizer.getVirtualItems(),
    height: virtualizer.getTotalSize(),
    measure: virtualizer.measureElement,
    isAtEnd,
    isNearTop,
    unread: Math.max(0, count - seen),
    toEnd,
  };
}
