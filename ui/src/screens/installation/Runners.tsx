import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, newKey } from "@/api/client";
import type { Runner } from "@/api/types";
import { Name } from "@/content/Text";
import { head, visible } from "@/content/text";
import { duration } from "@/parts/format";
import { Table } from "@/parts/Page";
import { Empty, ErrorNote, Loaded } from "@/parts/States";
import { useMayAdminister } from "@/parts/session";
import { Button } from "@/widgets/Button";
import { Confirm } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { Alive } from "./Health";
import { runnersQuery } from "./queries";
import { words } from "./words";

const MAX_SKEW_SECONDS = 1;

export function Runners() {
  const query = useQuery(runnersQuery);
  const mayOperate = useMayAdminister();
  return (
    <Loaded query={query}>
      {(list) =>
        list.data.length === 0 ? (
          <Empty title={words.noRunners}>{words.noRunnersText}</Empty>
        ) : (
          <Table
            label={words.tabs.runners}
            rows={list.data}
            id={(runner) => runner.id}
            columns={[
              {
                title: words.runner,
                cell: (runner) => (
                  <div>
                    <Name text={nameOf(runner)} className="font-medium" />
                    <div className="font-mono text-[12px] text-soft">{runner.id}</div>
                  </div>
                ),
              },
              { title: words.host, isWideOnly: true, cell: (runner) => <Name text={runner.host} /> },
              { title: words.region, cell: (runner) => <Name text={runner.region} className="text-soft" /> },
              { title: words.slots, cell: (runner) => <Slots runner={runner} /> },
              {
                title: words.state,
                cell: (runner) =>
                  runner.isDraining && runner.isAlive ? (
                    <span className="font-medium text-amber">{words.draining}</span>
                  ) : (
                    <Alive isAlive={runner.isAlive} silentSeconds={runner.silentSeconds} />
                  ),
              },
              {
                title: words.heard,
                isWideOnly: true,
                cell: (runner) => (
                  <span className="text-soft">
                    {words.ago(duration(Math.round(runner.silentSeconds) * 1000))}
                  </span>
                ),
              },
              {
                title: words.version,
                isWideOnly: true,
                cell: (runner) => <Name text={runner.version ?? ""} />,
              },
              { title: words.clock, isWideOnly: true, cell: (runner) => <Clock runner={runner} /> },
              {
                title: words.actions,
                isRight: true,
                cell: (runner) => mayOperate && runner.isAlive && <Drain runner={runner} />,
              },
            ]}
          />
        )
      }
    </Loaded>
  );
}

function nameOf(runner: Runner): string {
  return runner.name ?? runner.host;
}

function Slots(props: { runner: Runner }) {
  const { tasks, capacity } = props.runner;
  return (
    <div className="flex items-center gap-2">
      <span className="whitespace-nowrap tabular-nums">{words.of(tasks, capacity)}</span>
      <span aria-hidden className="h-1.5 w-12 overflow-hidden rounded-full bg-sunk">
        <span
          className="block h-full bg-accent"
          style={{ width: `${capacity === 0 ? 0 : Math.min(100, (tasks / capacity) * 100)}%` }}
        />
      </span>
    </div>
  );
}

function Clock(props: { runner: Runner }) {
  const skew = props.runner.clockSkewSeconds;
  if (skew === null) return "";
  return Math.abs(skew) > MAX_SKEW_SECONDS ? (
    <span className="text-red">{words.clockOff(skew.toFixed(1))}</span>
  ) : (
    <span className="text-soft">{words.inTime}</span>
  );
}

function Drain(props: { runner: Runner }) {
  const { runner } = props;
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const change = useMutation({
    mutationFn: (isDraining: boolean) =>
      data(
        api.PATCH("/api/v1/installation/runners/{runnerId}", {
          params: { path: { runnerId: runner.id }, header: { "Idempotency-Key": newKey() } },
          body: { isDraining },
        }),
      ),
    onSuccess: () => {
      setAsking(false);
      void queries.invalidateQueries({ queryKey: ["installation"] });
    },
    onError: (error) => notify(error.message),
  });
  const name = visible(head(nameOf(runner), 100));
  if (runner.isDraining)
    return (
      <Button size="small" disabled={change.isPending} onClick={() => change.mutate(false)}>
        {words.undrain}
        <span className="sr-only"> {name}</span>
      </Button>
    );
  return (
    <>
      <Button size="small" onClick={() => setAsking(true)}>
        {words.drain}
        <span className="sr-only"> {name}</span>
      </Button>
      <Confirm
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        title={words.drainTitle(name)}
        action={words.drain}
        isBusy={change.isPending}
        onConfirm={() => change.mutate(true)}
      >
        <p>{words.drainText(runner.tasks)}</p>
        <ErrorNote error={change.error} />
      </Confirm>
    </>
  );
}
