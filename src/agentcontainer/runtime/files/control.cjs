// Used by the commands finish, share and hibernate: sends requests to the platform, which accepts or refuses them outside
// the sandbox, and prints the answers. Exit codes: 0 accepted, 1 refused, 2 wrong usage, 3 platform not reached.
"use strict";

const SOCKET = "/run/agentcontainer/control.sock";
const ANSWER_BYTES = 1024 * 1024;
const IDLE_MS = 15 * 60 * 1000; // the platform stores large files before it answers

class UsageError extends Error {}

function unknownFlag(flag) {
  return new UsageError(`unknown flag ${flag} (a FILE that begins with a dash goes after --)`);
}

/** Runs the command `name`. `parse` turns the arguments into requests, each [path, body], or into null for --help. The
 * requests are sent in order, until one is refused. */
function run(name, usage, parse) {
  try {
    const requests = parse(process.argv.slice(2));
    if (requests === null) {
      process.stdout.write(usage);
    } else {
      sendInOrder(name, requests);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${name}: ${error.message}\nRun "${name} --help" for the usage.\n`);
    process.exitCode = 2;
  }
}

function workingDirectory() {
  try {
    return process.cwd();
  } catch {
    throw new UsageError("the current directory no longer exists; change to another one first");
  }
}

function sendInOrder(name, [[path, body], ...others]) {
  let isAnswered = false;
  send(path, JSON.stringify(body), (text, detail) => {
    if (isAnswered) return;
    isAnswered = true;
    if (report(name, text, detail) && others.length > 0) sendInOrder(name, others);
  });
}

function send(path, body, answered) {
  const http = require("node:http");
  const request = http.request({
    socketPath: SOCKET,
    path,
    method: "POST",
    headers: { host: "control", "content-type": "application/json", "content-length": Buffer.byteLength(body) },
    timeout: IDLE_MS,
  });
  const fail = (error) => answered(null, error.code ?? error.message);
  request.on("error", fail);
  request.on("timeout", () => request.destroy(new Error(`no answer in ${IDLE_MS / 60_000} minutes`)));
  request.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("error", fail);
    response.on("data", (chunk) => {
      text += chunk;
      if (text.length > ANSWER_BYTES) request.destroy(new Error("the answer is too long"));
    });
    response.on("end", () => answered(text, `HTTP ${response.statusCode}`));
  });
  request.end(body);
}

/** Prints the answer. Returns whether the request was accepted. */
function report(name, text, detail) {
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // reported below
  }
  if (typeof answer?.accepted !== "boolean") {
    process.stderr.write(`${name}: the platform could not be reached (${detail}); run ${name} again.\n`);
    process.exitCode = 3;
    return false;
  }
  (answer.accepted ? process.stdout : process.stderr).write(`${answer.message}\n`);
  process.exitCode = answer.accepted ? 0 : 1;
  return answer.accepted;
}

module.exports = { UsageError, run, unknownFlag, workingDirectory };
