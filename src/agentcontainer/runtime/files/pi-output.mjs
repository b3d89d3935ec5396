// Keeps the output of a command: its end for the model, and a bounded copy of all of it in a file for the agent.
//
// The files are on a small file system of their own. When it is full, the oldest files are removed. A write error is
// reported in the command's result and never thrown: an exception here would end Pi, and the task with it.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

export const FOLDER = "/tmp/command-output";
const FILE_BYTES = 16 * 1024 * 1024; // of one command's output; the rest is not kept
const TAIL_BYTES = 256 * 1024; // kept in memory; more than the model gets

const openPaths = new Set();

/** The output of one command. */
export class Output {
  bytes = 0;
  lines = 0;
  #threshold;
  #head = []; // chunks that are not in the file yet
  #tail = [];
  #tailBytes = 0;
  #lastByte = 10;
  #file = null; // {descriptor, path, bytes}
  #fault = null;

  /** A file is made when the output has more than `threshold` bytes. */
  constructor(threshold) {
    this.#threshold = threshold;
  }

  append(chunk) {
    if (chunk.length === 0) return;
    this.bytes += chunk.length;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) this.lines++;
    this.#lastByte = chunk[chunk.length - 1];
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    while (this.#tailBytes - this.#tail[0].length >= TAIL_BYTES) this.#tailBytes -= this.#tail.shift().length;
    if (this.#file !== null) {
      this.#write(chunk);
    } else if (this.#fault === null) {
      this.#head.push(chunk);
      if (this.bytes > this.#threshold) this.keep();
    }
  }

  /** The end of the output. Begins with a whole line where the output has one. */
  get tail() {
    const text = Buffer.concat(this.#tail);
    if (text.length === this.bytes) return text.toString();
    const firstLine = text.indexOf(10) + 1;
    const cut = firstLine === 0 || firstLine === text.length ? 0 : firstLine;
    return text.subarray(cut).toString();
  }

  /** The number of lines, of which the last may have no end. */
  get totalLines() {
    return this.lines + (this.#lastByte === 10 ? 0 : 1);
  }

  /** Make the file, unless there is one. */
  keep() {
    if (this.#file !== null || this.#fault !== null) return;
    try {
      const target = path.join(FOLDER, `bash-${Date.now()}-${randomBytes(4).toString("hex")}.log`);
      this.#file = { descriptor: createFile(target), path: target, bytes: 0 };
      openPaths.add(target);
    } catch (error) {
      this.#fault = error;
    }
    for (const chunk of this.#head.splice(0)) this.#write(chunk);
  }

  /** Close the file; a sentence that says where the whole output is, or why it is not kept. */
  close() {
    this.#head = [];
    if (this.#file === null) {
      return this.#fault === null ? "" : `The full output could not be kept: ${explain(this.#fault)}.`;
    }
    const { descriptor, path: target, bytes } = this.#file;
    fs.closeSync(descriptor);
    openPaths.delete(target);
    if (bytes === this.bytes) return `Full output: ${target}`;
    const reason = this.#fault === null ? `a file keeps at most ${FILE_BYTES} bytes` : explain(this.#fault);
    return `The first ${bytes} of ${this.bytes} bytes are in ${target} (${reason}).`;
  }

  #write(chunk) {
    if (this.#file === null || this.#fault !== null) return;
    const piece = chunk.subarray(0, FILE_BYTES - this.#file.bytes);
    for (let written = 0; written < piece.length; ) {
      try {
        const count = fs.writeSync(this.#file.descriptor, piece, written);
        written += count;
        this.#file.bytes += count;
      } catch (error) {
        if (error.code === "ENOSPC" && removeOldest()) continue;
        this.#fault = error;
        return;
      }
    }
  }
}

function createFile(target) {
  for (;;) {
    try {
      return fs.openSync(target, "wx", 0o600);
    } catch (error) {
      if (error.code !== "ENOSPC" || !removeOldest()) throw error;
    }
  }
}

/** Remove the oldest file that no running command writes; false if there is none. */
function removeOldest() {
  let names;
  try {
    names = fs.readdirSync(FOLDER).filter((name) => /^bash-\d+-[0-9a-f]+\.log$/.test(name)).sort();
  } catch {
    return false;
  }
  for (const name of names) {
    const target = path.join(FOLDER, name);
    if (openPaths.has(target)) continue;
    try {
      fs.unlinkSync(target);
      return true;
    } catch {
      // the agent replaced it: try the next one
    }
  }
  return false;
}

function explain(error) {
  return error.code === "ENOSPC" ? `${FOLDER} is full` : (error.code ?? error.message);
}
