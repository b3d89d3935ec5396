import { upload } from "@/api/upload";
import type { Send } from "./queue";

export const sendFile: Send<File> = (file, onProgress, signal) =>
  upload(file, signal, ({ sentBytes }) => onProgress(sentBytes));
