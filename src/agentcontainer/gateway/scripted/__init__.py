"""The scripted model: an HTTP server that speaks the three providers' wire protocols and follows scripts.

It serves the provider `offline` (gateway/offline_model.py), and tests use it instead of a provider. A user message may
contain a script, a fenced block of JSON:

    ```script
    [{"bash": "wc -l task_files/in.csv", "say": "Counting."},
     {"error": 500, "message": "overloaded", "times": 2},
     {"bash": "finish --complete-task --message done out.txt"}]
    ```

The steps are played in order, one for each assistant message that follows the user message with the script. If a
message contains several scripts, the last one counts. A later user message with a script starts that script; one
without a script does not change the running script, also after a step that ended the turn. After the last step the
model says "Done." and stops. It answers every further message without a script by "Offline script, no AI. You said:
<its first line>. Messages so far from you: <number>."

    {"say": TEXT}                          text, then stop
    {"bash": COMMAND}                      one call of the tool `bash`
    {"tool": NAME, "input": {…}}           one call of any tool
    {"tools": [{"bash": …}, {"tool": …}]}  several calls in one message
        these accept "say": TEXT (before the calls) and "slow": SECONDS (the pause before each delta, default 4 ms)
    {"slow": SECONDS}                      some text, slowly, then stop
    {"error": STATUS, "message": TEXT}     an error response in the provider's format
    {"cut": true, "say": TEXT}             half a response, then the connection breaks
    {"cut": true, "error": STATUS}         half a response, then an error in it
    {"hang": SECONDS}                      no response for some time, then the next step in the same response
        these produce no assistant message; each is played "times": N (default 1) times before the next step is due

How often such a step was played is remembered for each API key and conversation. If equal conversations run at the same
time and count failures, make them different, for example by a word after the script.

Without a script the model does a small job with POSIX tools: it writes a report on the input files to the file that
the instructions name, else to result.md, and finishes with it. In a conversation it does so for a message with files,
and answers any other message as above; when the conversation is handed off it calls `finish`.

Any path that ends in /messages, /responses or /chat/completions is served, with and without streaming. A missing key,
`invalid-key` and keys that begin with `sk-invalid` are answered 401, with the key in the message.
"""

from agentcontainer.gateway.scripted.server import ReceivedRequest, ScriptedModel, serve

__all__ = ["ReceivedRequest", "ScriptedModel", "serve"]
