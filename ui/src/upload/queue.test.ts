import { expect, test } from "vitest";
import { type Source, storedFiles, UploadQueue, unfinished } from "./queue";

type Sending = {
  name: string;
  progress: (sent: number) => void;
  end: (id: string) => void;
  fail: (fault: Error) => void;
  signal: AbortSignal;
};

function bench() {
  const sending: Sending[] = [];
  let now = 0;
  const queue = new UploadQueue<Source>(
    (file, progress, signal) =>
      new Promise((end, fail) => sending.push({ name: file.name, progress, end, fail, signal })),
    () => now,
  );
  const states = () => queue.uploads().map(({ name, state }) => `${name} ${state}`);
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  return {
    queue,
    sending,
    states,
    settle,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

const files = (...names: string[]) => names.map((name) => ({ name, size: 100, type: "" }));

test("three files are sent at a time, the rest waits", async () => {
  const { queue, sending, states, settle } = bench();
  queue.add(files("a", "b", "c", "d", "e"));
  expect(sending.map(({ name }) => name)).toEqual(["a", "b", "c"]);
  expect(unfinished(queue.uploads())).toBe(5);
  sending[1]?.end("file_b");
  await settle();
  expect(states()).toEqual(["a sending", "b stored", "c sending", "d sending", "e waiting"]);
  expect(storedFiles(queue.uploads())).toEqual([{ id: "file_b", name: "b", size: 100 }]);
});

test("progress has a speed, a failed file can be sent again, a removed one is stopped", async () => {
  const { queue, sending, states, settle, pass } = bench();
  queue.add(files("a", "b"));
  pass(500);
  sending[0]?.progress(50);
  expect(queue.uploads()[0]).toMatchObject({ sentBytes: 50, bytesPerSecond: 100 });
  sending[0]?.fail(new Error("The disk is full."));
  await settle();
  expect(queue.uploads()[0]).toMatchObject({ state: "failed", error: "The disk is full." });
  queue.retry(queue.uploads()[0]?.id ?? "");
  expect(states()).toEqual(["a sending", "b sending"]);
  queue.remove(queue.uploads()[1]?.id ?? "");
  expect(sending[1]?.signal.aborted).toBe(true);
  sending[1]?.fail(new Error("aborted"));
  await settle();
  expect(states()).toEqual(["a sending"]);
});

test("a stored file is listed once", () => {
  const { queue } = bench();
  queue.addStored([{ id: "file_1", name: "a", size: 1 }]);
  queue.addStored([{ id: "file_1", name: "a", size: 1 }]);
  expect(queue.uploads()).toHaveLength(1);
});
