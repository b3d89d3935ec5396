/** The files of a form: a row each with progress, speed, retry and remove; and buttons to choose more. */
import { File as FileIcon, FolderUp, RotateCcw, Upload as UploadIcon, X } from "lucide-react";
import { type ReactNode, useRef, useSyncExternalStore } from "react";
import { Name } from "@/content/Text";
import { bytes } from "@/parts/format";
import { Button } from "@/widgets/Button";
import type { Upload, UploadQueue } from "./queue";
import { words } from "./words";

export function useUploads(queue: UploadQueue<File>): readonly Upload[] {
  return useSyncExternalStore(queue.subscribe, queue.uploads);
}

export function UploadList(props: {
  queue: UploadQueue<File>;
  label: string;
  hint?: ReactNode;
  error?: string | null;
  hasFolder?: boolean;
}) {
  const { queue } = props;
  const uploads = useUploads(queue);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const take = (input: HTMLInputElement) => {
    queue.add([...(input.files ?? [])]);
    input.value = "";
  };
  return (
    <fieldset className="space-y-1.5">
      <legend className="mb-1 font-medium">{props.label}</legend>
      <ul className="space-y-1">
        {uploads.map((upload) => (
          <Row key={upload.id} upload={upload} queue={queue} />
        ))}
      </ul>
      <div className="flex flex-wrap items-center gap-2">
        <Button size="small" onClick={() => files.current?.click()}>
          <UploadIcon aria-hidden size={14} /> {words.addFiles}
        </Button>
        {props.hasFolder && (
          <Button size="small" onClick={() => folder.current?.click()}>
            <FolderUp aria-hidden size={14} /> {words.addFolder}
          </Button>
        )}
        {props.hint && <span className="text-[13px] text-soft">{props.hint}</span>}
      </div>
      <input
        ref={files}
        type="file"
        multiple
        hidden
        aria-label={props.label}
        onChange={(event) => take(event.currentTarget)}
      />
      {props.hasFolder && (
        <input
          ref={(input) => {
            folder.current = input;
            input?.setAttribute("webkitdirectory", "");
          }}
          type="file"
          hidden
          aria-label={words.addFolder}
          onChange={(event) => take(event.currentTarget)}
        />
      )}
      {props.error && (
        <p role="alert" className="text-[13px] text-red">
          {props.error}
        </p>
      )}
    </fieldset>
  );
}

function Row(props: { upload: Upload; queue: UploadQueue<File> }) {
  const { upload, queue } = props;
  return (
    <li className="rounded-md border border-line bg-panel px-2.5 py-1.5">
      <div className="flex items-center gap-2">
        <FileIcon aria-hidden size={14} className="shrink-0 text-soft" />
        <Name text={upload.name} className="min-w-0 flex-1 truncate" />
        <span className="text-[13px] whitespace-nowrap text-soft tabular-nums">{describe(upload)}</span>
        {upload.state === "failed" && (
          <Button size="small" kind="quiet" onClick={() => queue.retry(upload.id)}>
            <RotateCcw aria-hidden size={13} /> {words.retry}
            <span className="sr-only"> {upload.name}</span>
          </Button>
        )}
        <Button size="small" kind="quiet" onClick={() => queue.remove(upload.id)}>
          <X aria-hidden size={14} />
          <span className="sr-only">
            {words.remove} {upload.name}
          </span>
        </Button>
      </div>
      {upload.state === "sending" && (
        <progress
          aria-label={upload.name}
          max={Math.max(1, upload.size)}
          value={upload.sentBytes}
          className="h-1.5 w-full accent-accent"
        />
      )}
      {upload.error && (
        <p role="alert" className="text-[13px] text-red">
          {upload.error}
        </p>
      )}
    </li>
  );
}

function describe(upload: Upload): string {
  if (upload.state === "waiting") return `${bytes(upload.size)} · ${words.waiting}`;
  if (upload.state !== "sending") return bytes(upload.size);
  const speed = upload.bytesPerSecond === null ? "" : ` · ${bytes(upload.bytesPerSecond)}/s`;
  return `${bytes(upload.sentBytes)} / ${bytes(upload.size)}${speed}`;
}
