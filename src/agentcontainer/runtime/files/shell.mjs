// Which shell runs the agent's commands. PATH is not searched: an image may set one that leaves out /bin.
import fs from "node:fs";

export const shell = () => (fs.existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh");
