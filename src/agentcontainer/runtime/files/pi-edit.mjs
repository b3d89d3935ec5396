// The tool `edit` for files that are not UTF-8. Pi's own decodes every file as UTF-8 and writes it back, which replaces
// each byte that is not. Here private-use characters stand for those bytes, so that they are written back unchanged.
import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { access, readFile, writeFile } from "node:fs/promises";
import { createEditToolDefinition } from "./pi/dist/bundle/index.js";

const FIRST = 0xf700; // represents byte 0; Unicode normalisation, which Pi's search uses, leaves these characters alone
const NOT_UTF8 =
  "This file is not UTF-8. `edit` can find and insert ASCII in it, and keeps all other bytes. For anything else use a " +
  "command, such as `iconv`, or Python with the file's encoding.";

/** Pi's definition of the tool, with file operations of ours. */
export function editTool(cwd) {
  return {
    ...createEditToolDefinition(cwd),
    async execute(callId, input, ...others) {
      let isDecoded = false;
      const operations = {
        access: (path) => access(path, constants.R_OK | constants.W_OK),
        readFile: async (path) => {
          const bytes = await readFile(path);
          isDecoded = !isUtf8(bytes);
          return isDecoded ? Buffer.from(decode(bytes)) : bytes;
        },
        writeFile: (path, text) => writeFile(path, isDecoded ? encode(text) : text),
      };
      try {
        return await createEditToolDefinition(cwd, { operations }).execute(callId, input, ...others);
      } catch (error) {
        throw isDecoded ? new Error(`${error.message} ${NOT_UTF8}`) : error;
      }
    },
  };
}

function decode(bytes) {
  return bytes.toString("latin1").replace(/[\x80-\xff]/g, (byte) => String.fromCharCode(FIRST + byte.charCodeAt(0)));
}

/** The bytes of the text. Throws, before anything is written, if a character represents no byte. */
function encode(text) {
  const bytes = Buffer.alloc(text.length);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const byte = code < 0x80 ? code : code - FIRST;
    if (byte < 0 || byte > 0xff) throw new Error("The file was not changed.");
    bytes[index] = byte;
  }
  return bytes;
}
