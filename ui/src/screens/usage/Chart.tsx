/** Stacked bars for each day. The program that draws them is loaded when they are first shown. */
import { useEffect, useRef, useState } from "react";
import type uPlot from "uplot";
import { COLOURS } from "./colours";
import { type Stack, tops } from "./series";

const HEIGHT = 240;

type Props = { stack: Stack; label: string; format: (value: number) => string };

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [isFailed, setFailed] = useState(false);
  const look = useLook();
  const { stack, format } = props;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of the theme draws it anew
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    let chart: uPlot | null = null;
    let isGone = false;
    const resized = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height: HEIGHT }));
    import("./plot")
      .then(({ Plot }) => {
        if (isGone) return;
        chart = new Plot(optionsOf(Plot, stack, format, element), dataOf(stack), element);
        resized.observe(element);
      })
      .catch(() => setFailed(true));
    return () => {
      isGone = true;
      resized.disconnect();
      chart?.destroy();
    };
  }, [stack, format, look]);
  if (isFailed) return null; // the table has the same numbers
  return (
    <div
      ref={box}
      role="img"
      aria-label={props.label}
      style={{ height: HEIGHT }}
      className="overflow-hidden"
    />
  );
}

function dataOf(stack: Stack): uPlot.AlignedData {
  return [stack.days.map((day) => Date.parse(day) / 1000), ...tops(stack)];
}

function optionsOf(
  Plot: typeof uPlot,
  stack: Stack,
  format: (value: number) => string,
  element: HTMLElement,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
  };
  const bars = Plot.paths.bars?.({ size: [0.7, 40] });
  return {
    width: element.clientWidth,
    height: HEIGHT,
    tzDate: (at) => Plot.tzDate(new Date(at * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, _low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, grid: { show: false } },
      { ...axis, size: 70, values: (_, values) => values.map(format) },
    ],
    series: [
      {},
      ...stack.series
        .map((_, index) => COLOURS[index] ?? "")
        .reverse()
        .map((name) => ({ fill: colour(name), width: 0, paths: bars, points: { show: false } })),
    ],
  };
}

/** A number that changes with the theme. */
function useLook(): number {
  const [look, setLook] = useState(0);
  useEffect(() => {
    const observer = new MutationObserver(() => setLook((old) => old + 1));
    observer.observe(document.documentElement, { attributeFilter: ["class"] });
    return () => observer.disconnect();
  }, []);
  return look;
}
