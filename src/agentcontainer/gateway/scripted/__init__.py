"""The scripted model: a server that speaks the three providers' wire protocols and plays what the conversation says.

It is what `agentcontainer demo` uses without a provider key, and what tests use instead of a provider. A user
message may hold a script, a fenced block of JSON:

    ```script
    [{"bash": "wc -l task_files/in.csv", "say": "Counting."},
     {"error": 500, "message": "overloaded", "times": 2},
     {"bash": "finish --complete-task --message done out.txt"}]
    ```

Steps are played in order, one for each assistant message after the user message that holds the script (the last
script, if it holds several). A later user message with a script starts that one; one without leaves it running, in the
middle of a turn and after a step that stopped. After the last step the model says "Done." and stops; to every further
message without a script it answers "You said: <its first line>. Messages so far from you: <how many>."

    {"say": TEXT}                          text, then stop
    {"bash": COMMAND}                      one call of the tool `bash`
    {"tool": NAME, "input": {…}}           one call of any tool
    {"tools": [{"bash": …}, {"tool": …}]}  several calls in one message
        these take "say": TEXT (before the calls) and "slow": SECONDS (the pause before every delta, default 4 ms)
    {"slow": SECONDS}                      some text, slowly, then stop
    {"error": STATUS, "message": TEXT}     the provider's error, in its own shape
    {"cut": true, "say": TEXT}             half an answer, then the connection breaks
    {"hang": SECONDS}                      nothing for so long, then the next step in the same answer
        these leave no assistant message; they are played "times": N (default 1) times, then the next step is due

How often such a step was played is remembered per API key and conversation: when equal conversations run at the same
time and count failures, give each something of its own, such as a word after the script.

Without a script it does a small real job with POSIX tools: a Markdown report on the first CSV file in task_files, or
a summary of the task. In a conversation of the platform's it reports on a CSV file that comes with a message and
answers as above to any other; when the work is handed over it calls `finish`.

Any path that ends in /messages, /responses or /chat/completions is served, streaming or not. A missing key,
`invalid-key` and keys that begin with `sk-invalid` are answered 401, with the key in the message.
"""

from agentcontainer.gateway.scripted.server import ScriptedModel, Seen, serve

__all__ = ["ScriptedModel", "Seen", "serve"]
