// Tells the agent, with the result of a tool, which of its file systems is full.
import fs from "node:fs";
import { fillReserve } from "./pi-session.mjs";

const NEARLY_FULL_BYTES = { "/workspace": 2 * 1024 * 1024, "/tmp": 64 * 1024 };
const GRACE_SECONDS = Number(process.env.AGENTCONTAINER_DISK_FULL_GRACE_SECONDS);

export function addFullDisks(event) {
  const notes = Object.entries(NEARLY_FULL_BYTES).flatMap(([folder, least]) => noteOn(folder, least));
  if (notes.length === 0) {
    fillReserve();
    return undefined;
  }
  return { content: [...event.content, ...notes.map((text) => ({ type: "text", text }))] };
}

function noteOn(folder, least) {
  const disk = fs.statfsSync(folder);
  const free = disk.bavail * disk.bsize;
  const isOutOfFiles = disk.files > 0 && disk.ffree === 0;
  if (free >= least && !isOutOfFiles) return [];
  const what = isOutOfFiles
    ? `it holds as many files as it may, ${disk.files}`
    : `${megabytes(disk.blocks * disk.bsize - free)} of ${megabytes(disk.blocks * disk.bsize)} MB are used`;
  const consequence =
    folder === "/workspace" && GRACE_SECONDS > 0
      ? ` If nothing is freed in ${GRACE_SECONDS} seconds, the task fails.`
      : "";
  return [`[${folder} is full: ${what}. Remove what you do not need there, then go on.${consequence}]`];
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
