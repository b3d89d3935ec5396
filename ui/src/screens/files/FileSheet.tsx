/** One file: what it contains, where it comes from, what uses it. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { api, data } from "@/api/client";
import { fileQuery } from "@/api/queries";
import type { FileEntry, FileUses } from "@/api/types";
import { Download } from "@/content/Download";
import { Preview } from "@/content/Preview";
import { Name } from "@/content/Text";
import { head, visible } from "@/content/text";
import { Size } from "@/parts/Amounts";
import { CopyAs } from "@/parts/CopyAs";
import { Copyable } from "@/parts/Copyable";
import { Facts } from "@/parts/Page";
import { ErrorNote, Loaded } from "@/parts/States";
import { Status } from "@/parts/Status";
import { useMayWrite } from "@/parts/session";
import { curl, literal, python, quoted } from "@/parts/snippets";
import { Time } from "@/parts/Time";
import { Button } from "@/widgets/Button";
import { Confirm, Dialog } from "@/widgets/Dialogs";
import { notify } from "@/widgets/Toasts";
import { Origin } from "./Origin";
import { words } from "./words";

export function FileSheet(props: { fileId: string; onClose: () => void }) {
  const query = useQuery(fileQuery(props.fileId));
  return (
    <Dialog
      side
      isOpen
      onClose={props.onClose}
      title={<Name text={query.data?.filename ?? props.fileId} className="break-all" />}
    >
      <Loaded query={query}>{(file) => <Sheet file={file} onDeleted={props.onClose} />}</Loaded>
    </Dialog>
  );
}

function Sheet(props: { file: FileEntry; onDeleted: () => void }) {
  const { file } = props;
  const uses = useQuery({
    queryKey: ["file", file.id, "uses"],
    queryFn: () => data(api.GET("/api/v1/files/{fileId}/uses", { params: { path: { fileId: file.id } } })),
  });
  return (
    <div className="space-y-5">
      <div className="flex flex-wrap gap-2">
        <Download fileId={file.id} filename={file.filename} />
        <CopyAs
          forms={{
            id: file.id,
            page: `/files?file=${file.id}`,
            json: file,
            curl: `${curl("GET", `/api/v1/files/${file.id}/content`)} \\\n  -o ${quoted(file.filename)}`,
            python: python(`client.files.download(${literal(file.id)})`),
            cli: `agentcontainer download ${file.id}`,
          }}
        />
        <Delete file={file} keptBy={uses.data?.keptBy ?? null} onDeleted={props.onDeleted} />
      </div>
      {uses.data?.keptBy && <p className="text-soft">{words.kept(uses.data.keptBy)}</p>}
      <Preview
        fileId={file.id}
        filename={file.filename}
        contentType={file.contentType}
        sizeBytes={file.sizeBytes}
      />
      <Facts
        of={[
          [words.facts.type, <Name key="type" text={file.contentType} />],
          [words.facts.size, <Size key="size" bytes={file.sizeBytes} />],
          [words.facts.sha256, <Copyable key="sha" text={file.sha256} />],
          [words.facts.from, <Origin key="from" file={file} />],
          ...(file.path === null
            ? []
            : ([[words.facts.path, <Name key="path" text={file.path} className="break-all" />]] as [
                string,
                React.ReactNode,
              ][])),
          [words.facts.created, <Time key="created" at={file.createdAt} />],
          ["Id", <Copyable key="id" text={file.id} />],
        ]}
      />
      <section>
        <h3 className="mb-2 font-semibold">{words.uses}</h3>
        <Loaded query={uses} lines={2}>
          {(shown) => <Uses uses={shown} />}
        </Loaded>
      </section>
    </div>
  );
}

function Uses(props: { uses: FileUses }) {
  const { data: uses, isComplete } = props.uses;
  if (uses.length === 0) return <p className="text-soft">{words.unused}</p>;
  return (
    <ul className="space-y-1.5">
      {uses.map((use) => (
        <li
          key={`${use.kind} ${use.taskId ?? use.versionId}`}
          className="flex flex-wrap items-center gap-x-2 gap-y-0.5"
        >
          <span className="text-soft">{words.useKinds[use.kind]}</span>
          {use.taskId === null ? (
            <Link
              to="/agents/$agentId"
              params={{ agentId: use.agentId }}
              className="text-accent hover:underline"
            >
              {use.agentId}, {words.version(use.versionNumber)}
            </Link>
          ) : (
            <Link to="/tasks/$taskId" params={{ taskId: use.taskId }} className="text-accent hover:underline">
              <Name text={use.title ?? use.taskId} />
            </Link>
          )}
          {use.status && <Status status={use.status} />}
        </li>
      ))}
      {!isComplete && <li className="text-soft">{words.moreUses}</li>}
    </ul>
  );
}

function Delete(props: { file: FileEntry; keptBy: string | null; onDeleted: () => void }) {
  const { file } = props;
  const shownName = visible(head(file.filename, 100));
  const [isAsking, setAsking] = useState(false);
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => data(api.DELETE("/api/v1/files/{fileId}", { params: { path: { fileId: file.id } } })),
    onSuccess: () => {
      notify(words.deleted(shownName));
      props.onDeleted();
      void queries.invalidateQueries({ queryKey: ["files"] });
      void queries.invalidateQueries({ queryKey: ["live", "account"] });
    },
    onError: () => void queries.invalidateQueries({ queryKey: ["file", file.id, "uses"] }),
  });
  if (!useMayWrite()) return null;
  return (
    <>
      <Button kind="danger" size="small" disabled={props.keptBy !== null} onClick={() => setAsking(true)}>
        <Trash2 aria-hidden size={14} /> {words.delete}
      </Button>
      <Confirm
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        title={words.deleteTitle(shownName)}
        action={words.delete}
        isBusy={remove.isPending}
        onConfirm={() => remove.mutate()}
      >
        <p>{words.deleteText}</p>
        <ErrorNote error={remove.error} />
      </Confirm>
    </>
  );
}
