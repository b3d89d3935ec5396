/** Programs that verify the signature of a request, and a command that sends a signed one. */

export const VERIFY: [language: string, syntax: string, text: string][] = [
  [
    "Python",
    "python",
    `from agentcontainer_client import AgentContainer, BadSignature

client = AgentContainer()


def receive(request):
    try:
        event = client.webhooks.unwrap(request.body, request.headers, SECRET)
    except BadSignature:
        return 401
    # event.id is the same in every attempt: ignore what you have seen.
    return 204`,
  ],
  [
    "TypeScript",
    "typescript",
    `import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET!);

// body: the text exactly as it arrived. Throws if the signature is wrong or older than 5 minutes.
const event = webhook.verify(body, {
  "webhook-id": request.headers["webhook-id"],
  "webhook-timestamp": request.headers["webhook-timestamp"],
  "webhook-signature": request.headers["webhook-signature"],
});`,
  ],
  [
    "curl",
    "bash",
    `# Sends a signed request to your own receiver. WEBHOOK_SECRET is whsec_…
BODY='{"type":"webhook.test","data":{}}' ID=evt_test AT=$(date +%s)
KEY=$(printf %s "\${WEBHOOK_SECRET#whsec_}" | base64 -d | od -An -tx1 | tr -d ' \\n')
SIGNATURE=$(printf %s "$ID.$AT.$BODY" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | base64)
curl -sS http://127.0.0.1:3000/hook -H 'content-type: application/json' \\
  -H "webhook-id: $ID" -H "webhook-timestamp: $AT" -H "webhook-signature: v1,$SIGNATURE" -d "$BODY"`,
  ],
];
