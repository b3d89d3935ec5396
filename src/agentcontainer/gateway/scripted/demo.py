"""What the scripted model does without a script: a small job on the files that it finds, done with real tools."""

import re
import shlex

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.scripted.conversation import Call, Conversation, Reply

_LOOK = """\
for f in task_files/*; do [ -f "$f" ] && printf 'file: %s\\n' "$f"; done
echo; sed -n 1,20p TASK.md | cut -c1-300
for f in task_files/*.csv; do [ -f "$f" ] && { echo; head -n 5 "$f" | cut -c1-300; }; done; true"""

_SUMMARISE = """\
{ printf '# Summary\\n\\nThe task was:\\n\\n'; sed 's/^/> /' TASK.md
  printf '\\nFiles given: %s\\n' "$(ls task_files 2>/dev/null | wc -l)"; } > summary.md && cat summary.md"""

# Reads RFC 4180 CSV (quotes, doubled quotes, line breaks within quotes), or the same with ; or tabs.
_ANALYSE = r"""
function cells(line,   i, c, n, cell, quoted) {
  if (!index(line, "\"")) return split(line, cell_at, sep)
  n = 0; cell = ""; quoted = 0
  for (i = 1; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (quoted && c == "\"" && substr(line, i + 1, 1) == "\"") { cell = cell c; i++ }
    else if (c == "\"") quoted = !quoted
    else if (c == sep && !quoted) { cell_at[++n] = cell; cell = "" }
    else cell = cell c
  }
  cell_at[++n] = cell; is_open = quoted
  return n
}
function shown(text) { gsub(/[\r\n]/, " ", text); gsub(/\|/, "\\|", text); return text }
NR == 1 {
  sub(/^\357\273\277/, "")
  sep = index($0, ",") ? "," : index($0, ";") ? ";" : index($0, "\t") ? "\t" : ","
}
{
  sub(/\r$/, "")
  line = is_open ? line "\n" $0 : $0
  is_open = 0
  n = cells(line)
  if (is_open || line == "") next
  if (!columns) { columns = n; for (i = 1; i <= n; i++) name[i] = cell_at[i]; next }
  rows++
  for (i = 1; i <= columns; i++) {
    value = i <= n ? cell_at[i] : ""
    if (value == "") { empty[i]++; continue }
    if (!((i, value) in known)) { known[i, value] = 1; distinct[i]++ }
    filled[i]++
    if (value !~ /^ *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)? *$/) { text[i]++; continue }
    if (!(i in least) || value + 0 < least[i]) least[i] = value + 0
    if (!(i in most) || value + 0 > most[i]) most[i] = value + 0
    sum[i] += value
  }
}
END {
  printf "# Report on %s\n\n- Rows: %d\n- Columns: %d\n\n## Columns\n\n", title, rows, columns
  print "| column | kind | filled | empty | distinct |\n|---|---|---:|---:|---:|"
  for (i = 1; i <= columns; i++)
    printf "| %s | %s | %d | %d | %d |\n", shown(name[i]), filled[i] && !text[i] ? "number" : "text",
      filled[i], empty[i], distinct[i]
  print "\n## Numbers\n\n| column | min | mean | max |\n|---|---:|---:|---:|"
  for (i = 1; i <= columns; i++)
    if (filled[i] && !text[i])
      printf "| %s | %.10g | %.4f | %.10g |\n", shown(name[i]), least[i], sum[i] / filled[i], most[i]
}"""

# Quoted from the prompts that the platform sends (runner/agent/prompts.py, CONVERSATION.md).
_IN_CONVERSATION = "You talk with a user"
_FIRST_MESSAGE = "The user's first message:"
_ATTACHED_FILES = re.compile(r"^\(Files that came with this message, in ~/task_files: (.+)\)$", re.MULTILINE)


def reply(conversation: Conversation) -> Reply:
    """The next message of the job; a plain answer if there is nothing to do or the tool `bash` is missing."""
    if "bash" not in conversation.tools:
        return answer(conversation)
    if _IN_CONVERSATION in conversation.system:
        return _turn(conversation)
    result = next((turn.text for turn in reversed(conversation.turns) if turn.role == "tool"), "")
    match sum(turn.role == "assistant" for turn in conversation.turns):
        case 0:
            return _bash("I'll look at the task and its files first.", _LOOK)
        case 1:
            return _work(result)
        case 2:
            return _finish(result)
        case _:
            return answer(conversation) if conversation.turns[-1].role == "user" else Reply("Done.")


def answer(conversation: Conversation) -> Reply:
    """An answer that shows that this message and those before it were read."""
    turn = conversation.last_user_turn
    text = turn.text.rpartition(_FIRST_MESSAGE)[2].strip() if turn else ""
    line = text.splitlines()[0][:200] if text else ""
    count = sum(turn.role == "user" for turn in conversation.turns)
    return Reply(f"You said: {line}. Messages so far from you: {count}.")


def _turn(conversation: Conversation) -> Reply:
    """The next message of a turn in a conversation: a report on the CSV file that came with the user's message."""
    turn, steps = conversation.last_user_turn, conversation.replies_since
    text = turn.text if turn else ""
    if "`finish`" in text:  # the conversation was handed off
        command = shlex.join(["finish", "--complete-task", "--message", "Nothing was left to do."])
        return Reply("Done.") if steps else _bash("I'll bring it to its end.", command)
    name = _attached_csv(text)
    if name is None:
        return answer(conversation)
    match steps:
        case 0:
            return _analyse(f"task_files/{name}")
        case 1:
            return _bash("The report is written.", "share report.md")
        case _:
            return Reply(f"I went through {name}; the report is in report.md. {answer(conversation).text}")


def _attached_csv(text: str) -> str | None:
    attached = _ATTACHED_FILES.search(text)
    try:
        names = shlex.split(attached[1]) if attached else []
    except ValueError:  # the line was written by the user, not by the platform
        return None
    return next((name for name in names if name.lower().endswith(".csv")), None)


def _work(listing: str) -> Reply:
    csv = re.search(r"^file: (.+\.csv)$", listing, re.MULTILINE | re.IGNORECASE)
    if csv is None:
        return _bash("There is no CSV file to analyse, so I'll write down what was asked.", _SUMMARISE)
    return _analyse(csv.group(1))


def _analyse(path: str) -> Reply:
    title = path.rpartition("/")[2].replace("\\", "\\\\")
    command = f"LC_ALL=C awk -v title={shlex.quote(title)} {shlex.quote(_ANALYSE)} {shlex.quote('./' + path)}"
    return _bash(
        f"Now I'll go through {path}: rows, columns, and the range and mean of every numeric column.",
        f"{command} > report.md && cat report.md",
    )


def _finish(result: str) -> Reply:
    counts = re.search(r"^- Rows: (\d+)\n- Columns: (\d+)$", result, re.MULTILINE)
    if counts:
        outcome, file = f"Analysed {counts[1]} rows in {counts[2]} columns; see report.md.", "report.md"
    elif result.startswith("# Summary"):
        outcome, file = "Wrote down the task; there was no CSV file to analyse.", "summary.md"
    else:
        failed = shlex.join(["finish", "--incomplete-task", "--message", "The files could not be analysed."])
        return _bash("That did not work; I'll say so.", failed)
    return _bash(
        "The result is written.", shlex.join(["finish", "--complete-task", "--message", outcome, file])
    )


def _bash(text: str, command: str) -> Reply:
    return Reply(text, (Call("bash", JsonObject({"command": command})),))
