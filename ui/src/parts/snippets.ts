/** Requests as curl and Python write them. The key is never in them: programs read it from the environment. */

/** One request as a curl command. */
export function curl(method: string, path: string, body?: unknown): string {
  const lines = [`curl -sS${method === "GET" ? "" : ` -X ${method}`} ${quoted(`${origin()}${path}`)}`];
  lines.push(`  -H "Authorization: Bearer $AGENTCONTAINER_API_KEY"`);
  if (body !== undefined) {
    lines.push(`  -H 'Content-Type: application/json'`, `  -d ${quoted(JSON.stringify(body))}`);
  }
  return lines.join(" \\\n");
}

/** A program that makes a client, which reads URL and key from the environment, and runs these lines. */
export function python(...lines: string[]): string {
  return ["from agentcontainer_client import AgentContainer", "", "client = AgentContainer()", ...lines].join(
    "\n",
  );
}

/** A text as one argument of a POSIX shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A value as Python writes it. */
export function literal(value: unknown, indent = 0): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = " ".repeat(indent + 4);
  const parts = Array.isArray(value)
    ? value.map((child) => literal(child, indent + 4))
    : Object.entries(value).map(([key, child]) => `${JSON.stringify(key)}: ${literal(child, indent + 4)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (parts.length === 0) return `${open}${close}`;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${" ".repeat(indent)}${close}`;
}

function origin(): string {
  return typeof location === "undefined" ? "http://127.0.0.1:8080" : location.origin;
}
