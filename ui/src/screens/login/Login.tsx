/** Logs the browser in: with an API key, or with the code in the fragment of a login link. */
import { useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useNavigate, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { ApiError, api, data } from "@/api/client";
import { sessionQuery } from "@/api/queries";
import { useTitle } from "@/parts/Page";
import { Button } from "@/widgets/Button";
import { TextField } from "@/widgets/Fields";
import { words as shared } from "@/words";
import { words } from "./words";

type Credential = { apiKey: string } | { code: string };
const route = getRouteApi("/login");

/** The code of the address bar, which is removed from there at once. */
function takeCode(): string | null {
  const code = location.hash.slice(1);
  if (code) history.replaceState(history.state, "", location.pathname + location.search);
  return code || null;
}

export function Login() {
  useTitle(words.title);
  const [code] = useState(takeCode);
  const [error, setError] = useState<ApiError | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [asked, setAsked] = useState<{ credential: Credential; question: string } | null>(null);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const router = useRouter();
  const { to } = route.useSearch();

  const logIn = async (credential: Credential, isConfirmed = false) => {
    setBusy(true);
    setError(null);
    try {
      await data(api.POST("/session", { body: { ...credential, ...(isConfirmed ? { isConfirmed } : {}) } }));
      queries.clear();
      await queries.fetchQuery(sessionQuery);
      router.history.replace(to ?? "/");
    } catch (fault) {
      const failure = fault instanceof ApiError ? fault : ApiError.offline();
      if (failure.status === 409) setAsked({ credential, question: failure.message });
      else setError(failure);
    }
    setBusy(false);
  };
  const hasBegun = useRef(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the link's code is sent once
  useEffect(() => {
    if (code === null || hasBegun.current) return;
    hasBegun.current = true;
    void logIn({ code });
  }, []);

  return (
    <main className="flex min-h-full items-center justify-center p-4">
      <div className="w-full max-w-sm space-y-5 rounded-xl border border-line bg-panel p-6">
        <h1 className="text-lg font-semibold">
          {shared.product} <span className="font-normal text-soft">· {words.title}</span>
        </h1>
        {asked ? (
          <Question
            question={asked.question}
            isBusy={isBusy}
            onYes={() => void logIn(asked.credential, true)}
            onNo={() => void navigate({ to: "/", replace: true })}
          />
        ) : code !== null && error === null ? (
          <p role="status">{words.opening}</p>
        ) : (
          <KeyForm
            error={error}
            wasLink={code !== null}
            isBusy={isBusy}
            onSend={(apiKey) => void logIn({ apiKey })}
          />
        )}
      </div>
    </main>
  );
}

function Question(props: { question: string; isBusy: boolean; onYes: () => void; onNo: () => void }) {
  return (
    <div className="space-y-4">
      <h2 className="font-medium">{words.confirm}</h2>
      <p className="text-soft">{props.question}</p>
      <div className="flex flex-wrap gap-2">
        <Button kind="primary" disabled={props.isBusy} onClick={props.onYes}>
          {words.confirmButton}
        </Button>
        <Button onClick={props.onNo}>{words.stay}</Button>
      </div>
    </div>
  );
}

function KeyForm(props: {
  error: ApiError | null;
  wasLink: boolean;
  isBusy: boolean;
  onSend: (key: string) => void;
}) {
  const [key, setKey] = useState("");
  const [isForLink, setForLink] = useState(props.wasLink);
  const message =
    props.error && (isForLink && props.error.status === 401 ? words.usedCode : props.error.message);
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (!key.trim()) return;
    setForLink(false);
    props.onSend(key.trim());
    setKey("");
  };
  return (
    <form onSubmit={send} className="space-y-4">
      <TextField
        label={words.key}
        hint={words.hint}
        error={message}
        type="password"
        autoComplete="off"
        autoFocus
        value={key}
        onChange={(event) => setKey(event.target.value)}
      />
      <Button kind="primary" type="submit" disabled={props.isBusy || !key.trim()} className="w-full">
        {words.button}
      </Button>
      <p className="text-[13px] text-soft">{words.orLink}</p>
    </form>
  );
}
