/** Three steps from an empty account to a result, each with a tick once it is done. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleDashed } from "lucide-react";
import { type FormEvent, type ReactNode, useState } from "react";
import { api, data } from "@/api/client";
import { capabilitiesQuery } from "@/api/queries";
import { isFinal, type TaskSummary } from "@/api/types";
import { Page } from "@/parts/Page";
import { ErrorNote } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { Button, buttonLook } from "@/widgets/Button";
import { SelectField, TextField } from "@/widgets/Fields";
import { runExample } from "./example";
import { words } from "./words";

const PROVIDERS = ["anthropic", "openai", "openrouter"];

export function FirstRun(props: { example: TaskSummary | null; onSkip: () => void }) {
  const mayWrite = useMayWrite();
  const keys = useQuery({
    queryKey: ["provider-keys"],
    queryFn: () => data(api.GET("/api/v1/provider-keys", { params: { query: { limit: 100 } } })),
  });
  const capabilities = useQuery(capabilitiesQuery);
  const hasKey = (keys.data?.data.length ?? 0) > 0;
  const hasOffline =
    capabilities.data !== undefined && !capabilities.data.switchedOff.includes("offline_model");
  const { example } = props;
  const isFinished = example?.status === "finished";
  return (
    <Page title={words.welcome} actions={<Button onClick={props.onSkip}>{words.skip}</Button>}>
      <p className="mb-4 max-w-2xl text-soft">{words.welcomeText}</p>
      <ol className="max-w-2xl space-y-3">
        <Step number={1} title={words.stepKey} isDone={hasKey}>
          {hasKey ? <p className="text-soft">{words.keyStored}</p> : mayWrite && <KeyForm />}
        </Step>
        <Step number={2} title={words.stepRun} isDone={example !== null}>
          <p className="text-soft">
            {hasKey ? words.runText : hasOffline ? words.offlineText : words.noModel}
          </p>
          {example === null && mayWrite && (hasKey || hasOffline) && <RunButton isOffline={!hasKey} />}
          {example !== null && <Status status={example.status} completion={example.completion} />}
        </Step>
        <Step number={3} title={words.stepOpen} isDone={isFinished}>
          {example === null ? (
            <p className="text-soft">{words.notYet}</p>
          ) : (
            <Link
              to="/tasks/$taskId"
              params={{ taskId: example.id }}
              className={buttonLook(isFinished ? "primary" : "plain")}
            >
              {isFinal(example.status) ? words.openResult : words.watch}
            </Link>
          )}
        </Step>
      </ol>
    </Page>
  );
}

function Step(props: { number: number; title: string; isDone: boolean; children: ReactNode }) {
  const Icon = props.isDone ? CircleCheck : CircleDashed;
  return (
    <li className="flex gap-3 rounded-lg border border-line bg-panel p-4">
      <Icon aria-hidden className={props.isDone ? "text-green" : "text-soft"} />
      <div className="min-w-0 flex-1 space-y-2">
        <h2 className="font-semibold">
          {props.number}. {props.title}
          <span className="sr-only">{props.isDone ? `, ${words.done}` : ""}</span>
        </h2>
        {props.children}
      </div>
    </li>
  );
}

function KeyForm() {
  const queries = useQueryClient();
  const [provider, setProvider] = useState("anthropic");
  const [key, setKey] = useState("");
  const store = useMutation({
    mutationFn: () =>
      data(
        api.PUT("/api/v1/provider-keys/{provider}", {
          params: { path: { provider } },
          body: { apiKey: key.trim() },
        }),
      ),
    onSuccess: () => {
      setKey("");
      return queries.invalidateQueries({ queryKey: ["provider-keys"] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim()) store.mutate();
  };
  return (
    <form onSubmit={submit} className="space-y-2">
      <div className="flex flex-wrap items-end gap-2">
        <SelectField
          label={words.provider}
          value={provider}
          onChange={(event) => setProvider(event.target.value)}
        >
          {PROVIDERS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </SelectField>
        <div className="min-w-48 flex-1">
          <TextField
            label={words.key}
            type="password"
            autoComplete="off"
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        </div>
        <Button type="submit" disabled={store.isPending || !key.trim()}>
          {words.store}
        </Button>
      </div>
      <ErrorNote error={store.error} />
    </form>
  );
}

function RunButton(props: { isOffline: boolean }) {
  const queries = useQueryClient();
  const run = useMutation({
    mutationFn: () => runExample(props.isOffline),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["live"] }),
  });
  return (
    <>
      <Button kind="primary" disabled={run.isPending} onClick={() => run.mutate()}>
        {props.isOffline ? words.runOffline : words.run}
      </Button>
      <ErrorNote error={run.error} />
    </>
  );
}
