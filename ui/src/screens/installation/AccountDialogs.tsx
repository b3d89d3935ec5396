/** What an operator does to accounts. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { api, data, faultOf, newKey } from "@/api/client";
import type { InstalledAccount } from "@/api/types";
import { Name } from "@/content/Text";
import { head, visible } from "@/content/text";
import { money } from "@/parts/format";
import { CopyLine, ShownOnce } from "@/parts/ShownOnce";
import { ErrorNote } from "@/parts/States";
import { Button } from "@/widgets/Button";
import { Confirm, Dialog } from "@/widgets/Dialogs";
import { SwitchField, TextField } from "@/widgets/Fields";
import { notify } from "@/widgets/Toasts";
import { words } from "./words";

type Props = { account: InstalledAccount; onClose: () => void };

function useRefresh() {
  const queries = useQueryClient();
  return () => {
    void queries.invalidateQueries({ queryKey: ["installation"] });
    void queries.invalidateQueries({ queryKey: ["live", "account"] });
  };
}

/** The API's fault with a field of the form. */
function Form(props: {
  title: ReactNode;
  action: string;
  error: unknown;
  isBusy: boolean;
  onSubmit: () => void;
  onClose: () => void;
  children: ReactNode;
}) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onSubmit();
  };
  return (
    <Dialog isOpen onClose={props.onClose} title={props.title}>
      <form onSubmit={submit} className="space-y-4">
        {props.children}
        <ErrorNote error={props.error} />
        <div className="flex justify-end">
          <Button type="submit" kind="primary" disabled={props.isBusy}>
            {props.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function NewAccountDialog(props: { onClose: () => void }) {
  const refresh = useRefresh();
  const [key] = useState(newKey);
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [credit, setCredit] = useState("");
  const [isUnlimited, setUnlimited] = useState(false);
  const create = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/installation/accounts", {
          params: { header: { "Idempotency-Key": key } },
          body: {
            name: name.trim(),
            email: email.trim() || null,
            creditUsd: credit.trim() === "" ? null : Number(credit),
            isUnlimited,
          },
        }),
      ),
    onSuccess: refresh,
  });
  if (create.data)
    return (
      <ShownOnce
        title={words.createdTitle(visible(head(create.data.account.name, 100)))}
        onClose={props.onClose}
      >
        <CopyLine label={words.apiKey} text={create.data.apiKey} />
      </ShownOnce>
    );
  return (
    <Form
      title={words.newAccount}
      action={words.create}
      error={create.error}
      isBusy={create.isPending}
      onSubmit={() => create.mutate()}
      onClose={props.onClose}
    >
      <TextField
        label={words.name}
        required
        autoFocus
        value={name}
        error={faultOf(create.error, "name")}
        onChange={(event) => setName(event.target.value)}
      />
      <TextField
        label={words.email}
        type="email"
        value={email}
        error={faultOf(create.error, "email")}
        onChange={(event) => setEmail(event.target.value)}
      />
      <TextField
        label={words.startCredit}
        type="number"
        min={0}
        step="any"
        value={credit}
        error={faultOf(create.error, "creditUsd")}
        onChange={(event) => setCredit(event.target.value)}
      />
      <SwitchField label={words.isUnlimited} isOn={isUnlimited} onChange={setUnlimited} />
    </Form>
  );
}

export function CreditDialog(props: Props) {
  const { account } = props;
  const refresh = useRefresh();
  const [key] = useState(newKey);
  const [amount, setAmount] = useState("");
  const credit = useMutation({
    mutationFn: () =>
      data(
        api.POST("/api/v1/installation/accounts/{accountId}/credit", {
          params: { path: { accountId: account.id }, header: { "Idempotency-Key": key } },
          body: { amountUsd: Number(amount) },
        }),
      ),
    onSuccess: (balance) => {
      notify(words.credited(money(balance.creditBalance)));
      refresh();
      props.onClose();
    },
  });
  return (
    <Form
      title={
        <>
          {words.addCredit}: <Name text={account.name} />
        </>
      }
      action={words.add}
      error={credit.error}
      isBusy={credit.isPending}
      onSubmit={() => credit.mutate()}
      onClose={props.onClose}
    >
      <TextField
        label={words.amount}
        type="number"
        min={0}
        step="any"
        required
        autoFocus
        value={amount}
        error={faultOf(credit.error, "amountUsd")}
        onChange={(event) => setAmount(event.target.value)}
      />
    </Form>
  );
}

export function LimitsDialog(props: Props) {
  const { account } = props;
  const refresh = useRefresh();
  const [running, setRunning] = useState(shown(account.limits.runningTasks));
  const [queued, setQueued] = useState(shown(account.limits.queuedTasks));
  const [cost, setCost] = useState(shown(account.limits.costUsdPerDay));
  const [priority, setPriority] = useState(shown(account.limits.maxPriority));
  const [key] = useState(newKey);
  const change = useMutation({
    mutationFn: () =>
      data(
        api.PATCH("/api/v1/installation/accounts/{accountId}", {
          params: { path: { accountId: account.id }, header: { "Idempotency-Key": key } },
          body: {
            limits: {
              runningTasks: limit(running),
              queuedTasks: limit(queued),
              costUsdPerDay: limit(cost),
              maxPriority: limit(priority),
            },
          },
        }),
      ),
    onSuccess: () => {
      refresh();
      props.onClose();
    },
  });
  const fields = [
    [words.maxRunning, running, setRunning, "limits.runningTasks"],
    [words.maxQueued, queued, setQueued, "limits.queuedTasks"],
    [words.maxCost, cost, setCost, "limits.costUsdPerDay"],
    [words.maxPriority, priority, setPriority, "limits.maxPriority"],
  ] as const;
  return (
    <Form
      title={
        <>
          {words.setLimits}: <Name text={account.name} />
        </>
      }
      action={words.save}
      error={change.error}
      isBusy={change.isPending}
      onSubmit={() => change.mutate()}
      onClose={props.onClose}
    >
      {fields.map(([label, value, set, path]) => (
        <TextField
          key={path}
          label={label}
          type="number"
          min={0}
          step={path === "limits.costUsdPerDay" ? "any" : 1}
          placeholder={words.unlimited}
          value={value}
          error={faultOf(change.error, path)}
          onChange={(event) => set(event.target.value)}
        />
      ))}
    </Form>
  );
}

export function SuspensionDialog(props: Props) {
  const { account } = props;
  const refresh = useRefresh();
  const isSuspended = account.suspendedAt !== null;
  const [key] = useState(newKey);
  const change = useMutation({
    mutationFn: () =>
      data(
        api.PATCH("/api/v1/installation/accounts/{accountId}", {
          params: { path: { accountId: account.id }, header: { "Idempotency-Key": key } },
          body: { suspendedAt: isSuspended ? null : new Date().toISOString() },
        }),
      ),
    onSuccess: () => {
      refresh();
      props.onClose();
    },
  });
  const name = visible(head(account.name, 100));
  return (
    <Confirm
      isOpen
      onClose={props.onClose}
      title={isSuspended ? `${words.resume}: ${name}` : words.suspendTitle(name)}
      action={isSuspended ? words.resume : words.suspend}
      isBusy={change.isPending}
      onConfirm={() => change.mutate()}
    >
      {!isSuspended && <p>{words.suspendText(account.runningTasks)}</p>}
      <ErrorNote error={change.error} />
    </Confirm>
  );
}

function shown(value: number | null): string {
  return value === null ? "" : String(value);
}

function limit(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}
