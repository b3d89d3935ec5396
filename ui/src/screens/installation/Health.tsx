import { useQuery } from "@tanstack/react-query";
import { Check, TriangleAlert } from "lucide-react";
import { Name } from "@/content/Text";
import { duration } from "@/parts/format";
import { Facts, Panel, Table } from "@/parts/Page";
import { Loaded } from "@/parts/States";
import { healthQuery } from "./queries";
import { words } from "./words";

export function Health() {
  const query = useQuery(healthQuery);
  return (
    <Loaded query={query}>
      {(health) => (
        <div className="space-y-4">
          <Problems problems={health.problems} />
          <Panel>
            <div className="p-4">
              <Facts
                of={[
                  [words.version, health.version],
                  [words.queueState, health.isPaused ? words.paused : words.running],
                  [words.postgres, health.postgresVersion],
                  [words.schema, health.databaseSchema],
                  [words.connections, words.of(health.connections, health.maxConnections)],
                ]}
              />
            </div>
          </Panel>
          <section className="space-y-2">
            <h2 className="font-semibold">{words.apiProcesses}</h2>
            <Table
              label={words.apiProcesses}
              rows={health.apiProcesses}
              id={(process) => `${process.host}:${process.port}`}
              columns={[
                {
                  title: words.host,
                  cell: (process) => <Name text={process.host} className="font-medium" />,
                },
                { title: words.port, cell: (process) => process.port },
                { title: words.version, cell: (process) => <Name text={process.version} /> },
                {
                  title: words.state,
                  cell: (process) => (
                    <Alive isAlive={process.isAlive} silentSeconds={process.silentSeconds} />
                  ),
                },
              ]}
            />
          </section>
        </div>
      )}
    </Loaded>
  );
}

export function Alive(props: { isAlive: boolean; silentSeconds: number }) {
  return props.isAlive ? (
    <span className="font-medium text-green">{words.alive}</span>
  ) : (
    <span className="font-medium text-red">{words.silent(duration(props.silentSeconds * 1000))}</span>
  );
}

function Problems(props: { problems: string[] }) {
  if (props.problems.length === 0)
    return (
      <div className="space-y-1 rounded-lg border border-line bg-panel px-4 py-3">
        <p className="flex items-center gap-2 font-medium text-green">
          <Check aria-hidden size={15} /> {words.well}
        </p>
        <p className="text-soft">{words.doctor}</p>
      </div>
    );
  return (
    <section role="alert" className="rounded-lg bg-amber-soft px-4 py-3">
      <h2 className="flex items-center gap-2 font-semibold text-amber">
        <TriangleAlert aria-hidden size={15} /> {words.problems}
      </h2>
      <ul className="mt-1 list-disc space-y-1 pl-5">
        {props.problems.map((problem) => (
          <li key={problem}>
            <Name text={problem} />
          </li>
        ))}
      </ul>
    </section>
  );
}
