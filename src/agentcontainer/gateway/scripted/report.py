"""Builds the shell command with which the offline script reads the input files and writes its result.

It needs no more than a POSIX shell, awk, sed and find.
"""

import shlex
from collections.abc import Sequence

WRITTEN = "wrote: "
"""Begins the line of the command's output that names a file."""
_MAX_TEXT = 4000

LOOK = """\
for d in task_files reference_files; do
  [ -d "$d" ] && find "$d" -type f ! -path '*/.git/*' | sort | head -n 50 | sed 's/^/file: /'
done
echo; sed -n 1,20p TASK.md 2>/dev/null | cut -c1-300
for f in task_files/*.csv; do [ -f "$f" ] && { echo; head -n 5 "$f" | cut -c1-300; }; done; true"""

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
  printf "- Rows: %d\n- Columns: %d\n\n", rows, columns
  print "| column | kind | filled | empty | distinct |\n|---|---|---:|---:|---:|"
  for (i = 1; i <= columns; i++)
    printf "| %s | %s | %d | %d | %d |\n", shown(name[i]), filled[i] && !text[i] ? "number" : "text",
      filled[i], empty[i], distinct[i]
  print "\n| column | min | mean | max |\n|---|---:|---:|---:|"
  for (i = 1; i <= columns; i++)
    if (filled[i] && !text[i])
      printf "| %s | %.10g | %.4f | %.10g |\n", shown(name[i]), least[i], sum[i] / filled[i], most[i]
}"""

_FUNCTIONS = r"""
export LC_ALL=C
inputs() { for d in task_files reference_files; do [ -d "$d" ] && find "$d" -type f ! -path '*/.git/*'; done | sort |
  head -n 50; }
is_text() { [ "$(head -c 65536 "$1" | tr -d '\11\12\15\40-\176\200-\377' | wc -c)" -eq 0 ]; }
count() { wc "$1" < "$2" | tr -d ' '; }
describe() {
  printf '\n## %s\n\n- Bytes: %s\n' "${1##*/}" "$(count -c "$1")"
  case $1 in
    *.csv|*.CSV|*.tsv|*.TSV) awk "$analyse" "./$1"; return;;
  esac
  if [ ! -s "$1" ] || ! is_text "$1"; then echo '- Kind: no text'; return; fi
  printf -- '- Lines: %s\n- Words: %s\n\nIt begins with:\n\n' "$(count -l "$1")" "$(count -w "$1")"
  head -c 4096 "$1" | tr -d '\15' | sed -n '1,8p' | cut -c1-200 | sed 's/^/    /'
}
report() {
  printf '# Result\n\nWritten by the offline script of AgentContainer. No AI was involved.\n\n## Task\n\n'
  printf '%s\n' "$task" | sed 's/^/> /'
  inputs | { n=0; while IFS= read -r f; do n=$((n+1)); describe "$f"; done
    [ $n -gt 0 ] || printf '\nThere are no input files.\n'; }
}
prefixed() { report | sed "s|^|$1 |; s/ *\$//"; }
as_json() {
  printf '{"by": "offline script, no AI", "report": "'
  report | { iconv -f UTF-8 -t UTF-8 -c 2>/dev/null || tr -d '\200-\377'; } | tr -d '\0-\10\13-\37' |
    sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g' | awk '{ printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }'
  printf '"}\n'
}
as_table() {
  printf 'file%sbytes\n' "$1"
  inputs | while IFS= read -r f; do
    printf '"%s"%s%s\n' "$(printf '%s' "${f##*/}" | sed 's/"/""/g')" "$1" "$(count -c "$f")"; done
}
as_html() {
  printf '<!doctype html>\n<meta charset="utf-8">\n<title>Result</title>\n<pre>\n'
  report | sed 's/&/\&amp;/g; s/</\&lt;/g'
  printf '</pre>\n'
}
write() {
  case $1 in */*) mkdir -p -- "${1%/*}";; esac
  case $1 in
    *.json|*.jsonl) as_json;;
    *.csv) as_table ,;;
    *.tsv) as_table '	';;
    *.html|*.htm) as_html;;
    *.py|*.rb|*.sh|*.yaml|*.yml|*.toml) prefixed '#';;
    *.js|*.mjs|*.ts|*.go|*.rs|*.c|*.h|*.cpp|*.java) prefixed //;;
    *.sql) prefixed --;;
    *.tex) prefixed %;;
    *.ini) prefixed ';';;
    *) report;;
  esac > "./$1"
}
"""
_PLAIN_ENDINGS = (
    "md", "markdown", "txt", "text", "rst", "log", "csv", "tsv", "json", "jsonl", "html", "htm", "py", "rb", "sh",
    "yaml", "yml", "toml", "js", "mjs", "ts", "go", "rs", "c", "h", "cpp", "java", "sql", "tex", "ini",
)  # fmt: skip


def is_writable(name: str) -> bool:
    """Whether the script can write a file of this kind: it writes text."""
    return name.rpartition(".")[2] in _PLAIN_ENDINGS


def write_command(task: str, names: Sequence[str]) -> str:
    """The command that writes the files `names`, and prints the report on the inputs."""
    quoted = [shlex.quote(name) for name in names]
    writes = "\n".join(f"write {name} && printf '{WRITTEN}%s\\n' {name}" for name in quoted)
    return (
        f"task={shlex.quote(task[:_MAX_TEXT])}\nanalyse={shlex.quote(_ANALYSE)}{_FUNCTIONS}"
        f"{writes}\nreport | head -c 6000"
    )
