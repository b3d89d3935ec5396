/** Files on their way to the server: three at a time, each with its progress. It lives outside of React. */

export type Upload = {
  id: string;
  name: string;
  size: number;
  state: "waiting" | "sending" | "stored" | "failed";
  sentBytes: number;
  bytesPerSecond: number | null;
  fileId: string | null;
  error: string | null;
};

export type StoredFile = { id: string; name: string; size: number };
export type Source = { name: string; size: number; type: string };
type Progress = (sentBytes: number) => void;
/** Sends one file; its id. */
export type Send<F extends Source> = (file: F, onProgress: Progress, signal: AbortSignal) => Promise<string>;

type Entry<F> = { upload: Upload; file: F | null; stopped: AbortController; startedAt: number };

export const PARALLEL = 3;

export class UploadQueue<F extends Source> {
  private readonly entries = new Map<string, Entry<F>>();
  private readonly listeners = new Set<() => void>();
  private shown: readonly Upload[] = [];
  private count = 0;

  constructor(
    private readonly send: Send<F>,
    private readonly now: () => number = Date.now,
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly uploads = (): readonly Upload[] => this.shown;

  add(files: readonly F[]): void {
    for (const file of files) this.put(file.name, file.size, file, null);
    this.fill();
  }

  /** Files that the server has already. */
  addStored(files: readonly StoredFile[]): void {
    const known = new Set([...this.entries.values()].map(({ upload }) => upload.fileId));
    for (const file of files) if (!known.has(file.id)) this.put(file.name, file.size, null, file.id);
    this.publish();
  }

  retry(id: string): void {
    const entry = this.entries.get(id);
    if (entry?.upload.state !== "failed" || entry.file === null) return;
    this.change(entry, { state: "waiting", sentBytes: 0, bytesPerSecond: null, error: null });
    this.fill();
  }

  remove(id: string): void {
    this.entries.get(id)?.stopped.abort();
    this.entries.delete(id);
    this.fill();
  }

  /** Stop what is being sent, because the page is left. */
  stop(): void {
    for (const { stopped } of this.entries.values()) stopped.abort();
  }

  clear(): void {
    for (const id of [...this.entries.keys()]) this.remove(id);
  }

  private put(name: string, size: number, file: F | null, fileId: string | null): void {
    const id = `upload-${this.count++}`;
    const upload: Upload = {
      id,
      name,
      size,
      state: fileId === null ? "waiting" : "stored",
      sentBytes: 0,
      bytesPerSecond: null,
      fileId,
      error: null,
    };
    this.entries.set(id, { upload, file, stopped: new AbortController(), startedAt: 0 });
  }

  private fill(): void {
    const all = [...this.entries.values()];
    let free = PARALLEL - all.filter(({ upload }) => upload.state === "sending").length;
    for (const entry of all) {
      if (free <= 0) break;
      if (entry.upload.state !== "waiting" || entry.file === null) continue;
      free -= 1;
      void this.start(entry, entry.file);
    }
    this.publish();
  }

  private async start(entry: Entry<F>, file: F): Promise<void> {
    entry.stopped = new AbortController();
    entry.startedAt = this.now();
    this.change(entry, { state: "sending" });
    try {
      const fileId = await this.send(file, (sent) => this.progress(entry, sent), entry.stopped.signal);
      this.change(entry, { state: "stored", fileId, sentBytes: entry.upload.size });
    } catch (fault) {
      if (entry.stopped.signal.aborted) return;
      this.change(entry, { state: "failed", error: fault instanceof Error ? fault.message : String(fault) });
    }
    this.fill();
  }

  private progress(entry: Entry<F>, sentBytes: number): void {
    const seconds = (this.now() - entry.startedAt) / 1000;
    this.change(entry, { sentBytes, bytesPerSecond: seconds > 0.2 ? sentBytes / seconds : null });
    this.publish();
  }

  private change(entry: Entry<F>, change: Partial<Upload>): void {
    entry.upload = { ...entry.upload, ...change };
  }

  private publish(): void {
    this.shown = [...this.entries.values()].map(({ upload }) => upload);
    for (const listener of this.listeners) listener();
  }
}

/** The files that the server has, in the order of the list. */
export function storedFiles(uploads: readonly Upload[]): StoredFile[] {
  return uploads.flatMap(({ fileId, name, size }) => (fileId === null ? [] : [{ id: fileId, name, size }]));
}

export function unfinished(uploads: readonly Upload[]): number {
  return uploads.filter(({ state }) => state === "waiting" || state === "sending").length;
}
