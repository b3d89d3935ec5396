import { expect, test } from "vitest";
import type { Webhook, WebhookDelivery } from "@/api/types";
import { percent, stateOf, statusOf } from "./queries";

test("a share is 100 % only if nothing failed", () => {
  expect([1, 0.9999, 0.995, 0.5, 0.001, 0].map(percent)).toEqual([
    "100 %",
    "99.9 %",
    "99.5 %",
    "50 %",
    "< 1 %",
    "0 %",
  ]);
});

test("states say why a webhook is off, and that it fails before it is", () => {
  const webhook = { disabledReason: null, failingSince: null } as Webhook;
  expect(stateOf(webhook).word).toBe("on");
  expect(stateOf({ ...webhook, failingSince: "2026-03-26T14:00:00Z" }).word).toBe("failing");
  expect(stateOf({ ...webhook, disabledReason: "gone" }).word).toContain("410");
  expect(stateOf({ ...webhook, disabledReason: "failing" }).word).toContain("5 days");
});

test("a pending delivery that was tried before is failing", () => {
  const delivery = { status: "pending", attemptCount: 0 } as WebhookDelivery;
  expect(statusOf(delivery).word).toBe("pending");
  expect(statusOf({ ...delivery, attemptCount: 2 }).word).toBe("failing");
  expect(statusOf({ ...delivery, status: "failed", attemptCount: 10 }).word).toBe("failed");
});
