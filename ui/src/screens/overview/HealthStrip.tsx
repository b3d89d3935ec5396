/** For operators: in one line, whether the installation is well. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, TriangleAlert } from "lucide-react";
import { api, data } from "@/api/client";
import { Name } from "@/content/Text";
import { words } from "./words";

const REFRESH_MS = 15_000;

export function HealthStrip() {
  const health = useQuery({
    queryKey: ["installation", "health"],
    queryFn: () => data(api.GET("/api/v1/installation/health")),
    refetchInterval: REFRESH_MS,
  }).data;
  const runners = useQuery({
    queryKey: ["installation", "runners"],
    queryFn: () => data(api.GET("/api/v1/installation/runners")),
    refetchInterval: REFRESH_MS,
  }).data?.data;
  const queue = useQuery({
    queryKey: ["installation", "queue"],
    queryFn: () => data(api.GET("/api/v1/installation/queue")),
    refetchInterval: REFRESH_MS,
  }).data;
  if (health === undefined) return null; // an operator's extra: the page does without it
  const alive = runners?.filter(({ isAlive }) => isAlive) ?? [];
  const sum = (of: "tasks" | "capacity") => alive.reduce((total, runner) => total + runner[of], 0);
  const waiting = queue?.regions.reduce((total, region) => total + region.waiting, 0);
  const isFine = health.problems.length === 0 && !health.isPaused;
  const Icon = isFine ? CircleCheck : TriangleAlert;
  return (
    <section
      aria-label={words.health.title}
      className={`mb-4 rounded-lg border border-line px-4 py-2 ${isFine ? "bg-panel" : "bg-amber-soft"}`}
    >
      <p className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <span className={`flex items-center gap-1.5 font-medium ${isFine ? "text-green" : "text-amber"}`}>
          <Icon aria-hidden size={15} />
          {isFine ? words.health.fine : words.health.problems(Math.max(1, health.problems.length))}
        </span>
        {health.isPaused && <span className="text-amber">{words.health.paused}</span>}
        {runners && <span>{words.health.runners(alive.length, runners.length)}</span>}
        {runners && <span>{words.health.slots(sum("tasks"), sum("capacity"))}</span>}
        {waiting !== undefined && <span>{words.health.waiting(waiting)}</span>}
        <span className="flex-1" />
        <Link to="/installation" className="text-accent hover:underline">
          {words.health.open}
        </Link>
      </p>
      {health.problems.length > 0 && (
        <ul className="mt-1 list-disc pl-6">
          {health.problems.slice(0, 3).map((problem) => (
            <li key={problem}>
              <Name text={problem} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
