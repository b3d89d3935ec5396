/// <reference types="node" />
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { delay, follow, type StreamState } from "./sse";

let server: Server;
let seen: (string | undefined)[] = [];
let answers: ((response: ServerResponse) => void)[] = [];
const stream = (text: string) => (response: ServerResponse) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.end(text);
};
const status =
  (code: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(code, headers);
    response.end();
  };

beforeEach(async () => {
  Object.assign(globalThis, { addEventListener: () => {}, removeEventListener: () => {} });
  seen = [];
  server = createServer((request, response) => {
    seen.push(request.headers["last-event-id"] as string | undefined);
    (answers.shift() ?? status(204))(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => server.close());

async function run(lastId: string | null): Promise<{ events: string[]; states: StreamState[] }> {
  const events: string[] = [];
  const states: StreamState[] = [];
  await follow({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    lastId,
    signal: new AbortController().signal,
    onEvent: (event) => events.push(`${event.id} ${event.data}`),
    onState: (state) => states.push(state),
  });
  return { events, states };
}

test("a cut stream goes on after the last event, until the server says that it has ended", async () => {
  answers = [
    stream("id: 3\ndata: a\n\ndata: delta\n\n: comment\n\n"),
    stream("id: 4\ndata: b\n\n"),
    status(204),
  ];
  const { events, states } = await run("2");
  expect(events).toEqual(["3 a", "null delta", "4 b"]);
  expect(seen).toEqual(["2", "3", "4"]);
  expect(states).toEqual(["connecting", "live", "reconnecting", "live", "reconnecting", "ended"]);
});

test("a busy server is asked again when it says, a refusal is final", async () => {
  answers = [status(429, { "Retry-After": "1" }), status(404)];
  const begun = Date.now();
  const { states } = await run(null);
  expect(Date.now() - begun).toBeGreaterThan(950);
  expect(states).toEqual(["connecting", "reconnecting", "failed"]);
});

test("the delay grows to 30 s, with jitter", () => {
  expect([1, 2, 3, 4, 5, 6, 9].map((failures) => delay(failures, () => 1))).toEqual([
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
  ]);
  expect(delay(9, () => 0)).toBe(15_000);
});
