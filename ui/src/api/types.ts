/** Short names for the API's objects. */
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Account = Schemas["Account"];
export type Agent = Schemas["Agent"];
export type AgentVersion = Schemas["AgentVersion"];
export type ApiKey = Schemas["ApiKey"];
export type Capabilities = Schemas["Capabilities"];
export type CliLogin = Schemas["CliLogin"];
export type CurrentSession = Schemas["CurrentSession"];
export type DispatchRequest = Schemas["DispatchRequest"];
export type FeedEntry = Schemas["FeedEntry"];
export type FileEntry = Schemas["File"];
export type FileUses = Schemas["FileUses"];
export type InstalledAccount = Schemas["InstalledAccount"];
export type LedgerEntry = Schemas["LedgerEntry"];
export type Message = Schemas["Message"];
export type OutputFile = Schemas["OutputFile"];
export type ProviderKey = Schemas["ProviderKey"];
export type Runner = Schemas["Runner"];
export type Session = Schemas["Session"];
export type Task = Schemas["Task"];
export type TaskErrorCode = Schemas["TaskErrorCode"];
export type TaskEvent = Schemas["Event"];
export type TaskMode = Schemas["TaskMode"];
export type TaskStatus = Schemas["TaskStatus"];
export type TaskSummary = Schemas["TaskSummary"];
export type UsageEntry = Schemas["UsageEntry"];
export type Webhook = Schemas["Webhook"];
export type WebhookAttempt = Schemas["WebhookAttempt"];
export type WebhookDelivery = Schemas["WebhookDelivery"];
export type WebhookDeliveryDetails = Schemas["WebhookDeliveryDetails"];
export type WebhookEvent = Schemas["WebhookEventFilter"];
export type WebhookTestResult = Schemas["WebhookTestResult"];

export const FINAL: readonly TaskStatus[] = ["finished", "failed", "cancelled", "expired"];

export function isFinal(status: TaskStatus): boolean {
  return FINAL.includes(status);
}
