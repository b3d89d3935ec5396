/** Three steps from an empty account to a result, each with a tick once it is done. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleDashed } from "lucide-react";
import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { api, data, newKey } from "@/api/client";
import { capabilitiesQuery } from "@/api/queries";
import { isFinal, type TaskSummary } from "@/api/types";
import { Name } from "@/content/Text";
import { modelsQuery, OFFLINE, providerKeysQuery } from "@/execution/models";
import { Page } from "@/parts/Page";
import { ErrorNote } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { Elapsed } from "@/parts/Time";
import { Button, buttonLook } from "@/widgets/Button";
import { SelectField, TextField } from "@/widgets/Fields";
import { type Choice, choices, dispatchExample, uploadExample } from "./example";
import { words } from "./words";

export function FirstRun(props: {
  example: TaskSummary | null;
  /** The result was opened from here before. */
  isOpened: boolean;
  onSkip: () => void;
  onOpen: () => void;
}) {
  const mayWrite = useMayWrite();
  const keys = useQuery(providerKeysQuery);
  const capabilities = useQuery(capabilitiesQuery);
  const models = useQuery(modelsQuery);
  const keyed = keys.data?.data.map(({ provider }) => provider) ?? [];
  const hasKey = keyed.length > 0;
  const hasOffline =
    capabilities.data !== undefined && !capabilities.data.switchedOff.includes("offline_model");
  const offered = choices(keyed, models.data?.data ?? [], hasOffline);
  const { example } = props;
  const isFinished = example?.status === "finished";
  const isEnded = example !== null && isFinal(example.status);
  return (
    <Page title={words.welcome} actions={<Button onClick={props.onSkip}>{words.skip}</Button>}>
      <p className="mb-4 max-w-2xl text-soft">{words.welcomeText}</p>
      <ol className="max-w-2xl space-y-3">
        <Step number={1} title={words.stepKey} isDone={hasKey}>
          {hasKey ? (
            <p className="text-soft">{words.keyStored}</p>
          ) : (
            <>
              {hasOffline && <p className="text-soft">{words.keyLater}</p>}
              {mayWrite && <KeyForm />}
            </>
          )}
        </Step>
        <Step number={2} title={words.stepRun} isDone={isFinished}>
          {example === null && (
            <p className="text-soft">
              {hasKey ? words.runText : hasOffline ? words.offlineText : words.noModel}
            </p>
          )}
          {example !== null && (
            <p className="flex flex-wrap items-center gap-3" aria-live="polite">
              <Status status={example.status} completion={example.completion} />
              {example.execution.provider === OFFLINE && <span className="text-soft">{words.noAi}</span>}
              {example.startedAt && <Elapsed from={example.startedAt} to={example.completedAt} />}
            </p>
          )}
          {example?.error && (
            <p className="text-red">
              <Name text={example.error} />
            </p>
          )}
          {(example === null || (isEnded && !isFinished)) && mayWrite && offered.length > 0 && (
            <RunForm key={offered[0]?.provider} offered={offered} isRepeat={example !== null} />
          )}
        </Step>
        <Step number={3} title={words.stepOpen} isDone={isFinished && props.isOpened}>
          {example === null ? (
            <p className="text-soft">{words.notYet}</p>
          ) : (
            <Link
              to="/tasks/$taskId"
              params={{ taskId: example.id }}
              onClick={() => isFinished && props.onOpen()}
              className={buttonLook(isFinished ? "primary" : "plain")}
            >
              {isEnded ? words.openResult : words.watch}
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
  const providers = useQuery(capabilitiesQuery).data?.providers ?? [];
  const [chosen, setProvider] = useState("");
  const provider = chosen || providers[0] || "";
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
          {providers.map((name) => (
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

/** The button that runs the example, with a choice of what answers. A repeat after a lost answer makes no second task. */
function RunForm(props: { offered: Choice[]; isRepeat: boolean }) {
  const { offered } = props;
  const queries = useQueryClient();
  const [chosen, setChosen] = useState(0);
  const [key, setKey] = useState(newKey);
  const fileId = useRef<string | null>(null);
  const choice = offered[chosen] ?? offered[0];
  const run = useMutation({
    mutationFn: async () => {
      if (choice === undefined) return;
      fileId.current ??= await uploadExample();
      await dispatchExample(key, fileId.current, choice);
    },
    onSuccess: () => {
      setKey(newKey());
      return queries.invalidateQueries({ queryKey: ["live"] });
    },
  });
  const label = choice?.provider === OFFLINE ? words.runOffline : words.run;
  return (
    <>
      <div className="flex flex-wrap items-end gap-2">
        {offered.length > 1 && (
          <div className="min-w-56">
            <SelectField
              label={words.answers}
              value={String(chosen)}
              onChange={(event) => setChosen(Number(event.target.value))}
            >
              {offered.map(({ provider, model }, index) => (
                <option key={`${provider} ${model}`} value={index}>
                  {model === null ? words.script : `${provider}: ${model}`}
                </option>
              ))}
            </SelectField>
          </div>
        )}
        <Button kind="primary" disabled={run.isPending} onClick={() => run.mutate()}>
          {props.isRepeat ? words.runAgain : label}
        </Button>
      </div>
      <ErrorNote error={run.error} />
    </>
  );
}
