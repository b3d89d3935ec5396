// The tool `bash`, in place of Pi's own, which ends Pi when it cannot write a command's output to a file.
import { spawn } from "node:child_process";
import os from "node:os";
import {
  createBashToolDefinition,
  DEFAULT_MAX_BYTES,
  DEFAULT_MAX_LINES,
  formatSize,
  truncateTail,
} from "./pi/dist/bundle/index.js";
import { Output } from "./pi-output.mjs";
import { shell } from "./shell.mjs";

const MAX_TIMEOUT_SECONDS = 2_000_000; // setTimeout takes at most 2^31 ms
const QUIET_MS = 100; // after the shell's exit: its background processes may still hold the pipes
const LINGER_MS = 3000;
const INTERRUPT_MS = 5000; // from SIGINT to SIGKILL
const BACKGROUND =
  "Run a program that does not end by itself in the background, with its output in a file: COMMAND > log.txt 2>&1 &";
const INTERRUPTS = {
  message: `The platform ended this command, because a message for you was waiting. It follows. ${BACKGROUND}`,
  time: `The platform ended this command, because time is running out. ${BACKGROUND}`,
};

const running = new Set(); // a function that interrupts it, for each running command

/** End all running commands. `reason`: a key of INTERRUPTS. */
export function interrupt(reason) {
  for (const end of running) end(INTERRUPTS[reason]);
}

/** Pi's definition of the tool, with an `execute` of ours. */
export function bashTool(cwd) {
  const { outputSchema: _, ...definition } = createBashToolDefinition(cwd, { exposeSessionEnvironment: false });
  return {
    ...definition,
    async execute(_callId, { command, timeout }, signal) {
      checkTimeout(timeout);
      const output = new Output(DEFAULT_MAX_BYTES);
      const failure = await run(command, cwd, timeout, signal, output).catch((error) => `Command failed: ${error.message}`);
      const text = [format(output), failure].filter(Boolean).join("\n\n");
      return { content: [{ type: "text", text: text || "(no output)" }], isError: failure !== null };
    },
  };
}

function checkTimeout(timeout) {
  if (timeout === undefined) return;
  if (!Number.isFinite(timeout) || timeout <= 0 || timeout > MAX_TIMEOUT_SECONDS) {
    throw new Error(`Invalid timeout: it must be a number of seconds, at most ${MAX_TIMEOUT_SECONDS}.`);
  }
}

/** Run the command to its end; null if it succeeded, otherwise how it failed. */
async function run(command, cwd, timeout, signal, output) {
  const child = spawn(shell(), ["-c", command], { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let reason = null;
  const kill = (why) => {
    reason ??= why;
    killGroup(child.pid, "SIGKILL");
  };
  let killing;
  const end = (why) => {
    if (reason !== null) return;
    reason = why;
    killGroup(child.pid, "SIGINT");
    killing = setTimeout(() => killGroup(child.pid, "SIGKILL"), INTERRUPT_MS);
  };
  running.add(end);
  const aborted = () => kill("Command aborted");
  signal?.addEventListener("abort", aborted, { once: true });
  if (signal?.aborted) aborted();
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(() => kill(`Command timed out after ${timeout} seconds`), timeout * 1000);
  try {
    const [code, signalName] = await ending(child, output);
    if (reason !== null) return reason;
    const exitCode = code ?? 128 + (os.constants.signals[signalName] ?? 0);
    return exitCode === 0 ? null : `Command exited with code ${exitCode}`;
  } finally {
    clearTimeout(timer);
    clearTimeout(killing);
    running.delete(end);
    signal?.removeEventListener("abort", aborted);
  }
}

/** Collect the output until the command has ended and its pipes are closed or quiet; its exit code and signal. */
function ending(child, output) {
  return new Promise((resolve, reject) => {
    let exit = null;
    let quiet;
    let linger;
    const finish = () => {
      clearTimeout(quiet);
      clearTimeout(linger);
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve(exit);
    };
    const wait = () => {
      clearTimeout(quiet);
      quiet = setTimeout(finish, QUIET_MS);
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("error", () => {});
      stream?.on("data", (chunk) => {
        output.append(chunk);
        if (exit !== null) wait();
      });
    }
    child.on("error", reject);
    child.on("exit", (code, signalName) => {
      exit = [code, signalName];
      wait();
      linger = setTimeout(finish, LINGER_MS);
    });
    child.on("close", (code, signalName) => {
      exit = [code, signalName];
      finish();
    });
  });
}

function killGroup(pid, signalName) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signalName);
  } catch {
    // it has ended
  }
}

/** The end of the output as the model gets it, and where all of it is. */
function format(output) {
  const shown = truncateTail(output.tail, { maxLines: DEFAULT_MAX_LINES, maxBytes: DEFAULT_MAX_BYTES });
  const total = output.totalLines;
  if (!shown.truncated && output.bytes <= DEFAULT_MAX_BYTES) {
    output.close();
    return shown.content;
  }
  output.keep();
  const where = output.close();
  if (shown.lastLinePartial) {
    return `${shown.content}\n\n[Showing the last ${formatSize(shown.outputBytes)} of line ${total}. ${where}]`;
  }
  const limit = shown.truncatedBy === "lines" ? "" : ` (${formatSize(DEFAULT_MAX_BYTES)} limit)`;
  const first = total - shown.outputLines + 1;
  return `${shown.content}\n\n[Showing lines ${first}-${total} of ${total}${limit}. ${where}]`;
}
