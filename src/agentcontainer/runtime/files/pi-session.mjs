// Keeps Pi's session file complete. If the agent removed or changed the file, it is written again from memory. If the
// disk is full, a reserve is freed for it. A failed write is repeated with the next entry, and its error is not thrown:
// Pi would take it for a failed request to the provider.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

const FOLDER = "/workspace/.pi";
const RESERVE = path.join(FOLDER, "reserve");
const MAX_RESERVE_BYTES = 4 * 1024 * 1024;
const STEP_BYTES = 256 * 1024;
const MISSING = -1;

const append = fs.appendFileSync;
let writtenSize = null; // of the session file; null: unknown

/** From now on Pi's session file is written here. */
export function keepSession(pi) {
  let session = null;
  pi.on("session_start", (_event, ctx) => {
    session = ctx.sessionManager;
    fillReserve();
  });
  fs.appendFileSync = (target, data, options) =>
    session !== null && target === session.getSessionFile() ? write(session, target, data) : append(target, data, options);
  syncBuiltinESMExports(); // Pi imports the function by its name
}

function write(session, target, data) {
  try {
    const size = sizeOf(target);
    const isWhole = writtenSize === null ? size !== MISSING : size === writtenSize;
    if (isWhole) {
      withReserve(() => append(target, data), () => fs.truncateSync(target, size));
    } else {
      withReserve(() => rewrite(session, target), () => {});
    }
    writtenSize = sizeOf(target);
  } catch (error) {
    writtenSize = MISSING - 1; // no size: write the whole file with the next entry
    process.stderr.write(`The session file could not be written: ${error.message}\n`);
  }
}

/** Write all entries. Pi has already added the latest one to its memory. */
function rewrite(session, target) {
  const folder = path.dirname(target);
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    fs.rmSync(folder, { force: true });
    fs.mkdirSync(folder, { recursive: true });
  }
  const lines = [session.getHeader(), ...session.getEntries()].map((entry) => `${JSON.stringify(entry)}\n`);
  const temporary = `${target}.new`;
  fs.rmSync(temporary, { recursive: true, force: true });
  fs.rmSync(target, { recursive: true, force: true });
  fs.writeFileSync(temporary, lines.join(""), { flag: "wx", mode: 0o600 });
  fs.renameSync(temporary, target);
}

/** Run `action`; while there is no space for it, undo it, free a part of the reserve, and run it again. */
function withReserve(action, undo) {
  for (;;) {
    try {
      return action();
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
      undo();
      const size = sizeOf(RESERVE);
      if (size <= 0) throw error;
      fs.truncateSync(RESERVE, Math.max(0, size - STEP_BYTES));
    }
  }
}

/** Make the reserve as large as it should be, if there is plenty of space. */
export function fillReserve() {
  try {
    const disk = fs.statfsSync(FOLDER);
    const reserveBytes = Math.min(MAX_RESERVE_BYTES, Math.floor((disk.blocks * disk.bsize) / 64));
    const missing = reserveBytes - Math.max(0, sizeOf(RESERVE));
    if (missing > 0 && disk.bavail * disk.bsize > 4 * reserveBytes) append(RESERVE, Buffer.alloc(missing), { mode: 0o600 });
  } catch {
    // without a reserve
  }
}

function sizeOf(target) {
  try {
    const status = fs.lstatSync(target);
    return status.isFile() ? status.size : MISSING;
  } catch {
    return MISSING;
  }
}
