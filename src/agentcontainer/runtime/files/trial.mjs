// Run in an image before its first task: checks that what every task needs works there, and prints "trial passed". Node
// gets the options --use-env-proxy, because Pi takes proxies from the environment, and --import forward.mjs.
import { spawnSync } from "node:child_process";
import { shell } from "./shell.mjs";

const GATEWAY = "http://127.0.0.1:8090/";

async function reachGateway() {
  try {
    const answer = await fetch(GATEWAY, { signal: AbortSignal.timeout(20_000) });
    return answer.status === 200;
  } catch {
    return false;
  }
}

function runTool() {
  const { status, stdout } = spawnSync(shell(), ["-c", "finish --help"], { encoding: "utf8" });
  return status === 0 && stdout.startsWith("Usage:");
}

if (!(await reachGateway())) {
  console.error("trial: no gateway");
} else if (!runTool()) {
  console.error("trial: no tool");
} else {
  console.log("trial passed");
}
