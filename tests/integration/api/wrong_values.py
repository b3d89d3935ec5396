"""Invalid values for every field of every request body."""

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from tests.api_bed import AGENT

MISSING = object()
LONE_SURROGATE = "\ud800"
HUGE = 2**63
DISPATCH = f"/api/v1/agents/{AGENT}/tasks"
SIGNING_SECRET = "whsec_" + "A" * 43 + "="
AGENT_BODY: dict[str, Any] = {
    "name": "Analyst",
    "description": "Counts rows.",
    "runtime": {"containerImage": None, "agentRuntime": "pi"},
    "basePrompt": "Be exact.",
    "defaults": {
        "provider": "openai",
        "model": "gpt-5",
        "weakModel": "gpt-5-mini",
        "internetAccess": False,
        "maxRuntimeSeconds": 600,
        "softFinishAfterSeconds": 500,
        "sessionTtlSeconds": 60,
        "runtimeRegion": "eu",
        "outputPolicy": {"mode": "named", "files": [{"name": "report", "jsonSchema": {"type": "object"}}]},
    },
}
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "DispatchRequest": (
        "POST",
        DISPATCH,
        {
            "instructions": "Count the rows.",
            "title": "Rows",
            "metadata": {"customer": "x"},
            "overrides": {
                "provider": "openai",
                "providerApiKey": "sk-0123456789",
                "runtime": "pi",
                "model": "gpt-5",
                "weakModel": "gpt-5-mini",
                "internetAccess": True,
                "egress": {"allow": ["pypi.org:443"]},
                "maxRuntimeSeconds": 600,
                "softFinishAfterSeconds": 500,
                "runtimeRegion": "eu",
                "priority": 5,
                "outputPolicy": {
                    "mode": "named",
                    "files": [
                        {
                            "name": "report",
                            "required": True,
                            "contentType": "application/json",
                            "maxBytes": 100,
                            "jsonSchema": {"type": "object"},
                        }
                    ],
                },
            },
        },
    ),
    "UploadRequest": (
        "POST",
        "/api/v1/uploads/prepare",
        {"filename": "data.csv", "contentType": "text/csv", "sizeBytes": 3},
    ),
    "CompletionRequest": ("POST", "/api/v1/uploads/complete", {"uploadId": "upl_0"}),
    "ApiKeyRequest": ("POST", "/api/v1/api-keys", {"name": "ci"}),
    "ProviderKeyInput": (
        "PUT",
        "/api/v1/provider-keys/own",
        {
            "apiKey": "sk-0123456789",
            "baseUrl": "https://models.example.com/v1",
            "api": "openai-completions",
            "price": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1.25},
        },
    ),
    "ProviderTest": ("POST", "/api/v1/provider-keys/own/test", {"model": "qwen3:8b"}),
    "NewAgent": ("POST", "/api/v1/agents", AGENT_BODY),
    "AgentChange": ("PATCH", "/api/v1/agents/{agentId}", AGENT_BODY),
}
BODIES |= {
    "ConversationRequest": (
        "POST",
        f"/api/v1/agents/{AGENT}/conversations",
        BODIES["DispatchRequest"][2] | {"message": "Which region sells best?"},
    ),
    "MessageRequest": (
        "POST",
        "/api/v1/conversations/{conversation}/messages",
        {"content": "And the south?", "overrides": BODIES["DispatchRequest"][2]["overrides"]},
    ),
    "HandoffRequest": ("POST", "/api/v1/conversations/{conversation}/handoff", {"message": "Go on alone."}),
    "SteeringRequest": ("POST", "/api/v1/tasks/{task}/messages", {"content": "Hurry."}),
    "TaskChange": (
        "PATCH",
        "/api/v1/tasks/{task}",
        {
            "title": "Rows",
            "metadata": {"customer": "x"},
            "budget": {"maxTokens": 1_000_000, "onReached": "pause"},
        },
    ),
    "AccountChange": (
        "PATCH",
        "/api/v1/account",
        {"name": "Ada", "email": "ada@example.com", "lowBalanceUsd": 5, "usageMetadataKeys": ["customer"]},
    ),
    "WakeRequest": (
        "POST",
        "/api/v1/tasks/{asleep}/wake",
        {
            "kind": "message",
            "message": "The review is done.",
            "overrides": BODIES["DispatchRequest"][2]["overrides"],
        },
    ),
    "LinkRequest": ("POST", "/wake/{token}", {"message": "The review is done."}),
    "BatchRequest": (
        "POST",
        f"{DISPATCH}/batch",
        {"tasks": [BODIES["DispatchRequest"][2]], "common": copy.deepcopy(BODIES["DispatchRequest"][2])},
    ),
}
BODIES |= {
    "NewWebhook": (
        "POST",
        "/api/v1/webhooks",
        {
            "url": "https://hooks.example.com/a",
            "events": ["task.finished"],
            "description": "Ours",
            "secret": SIGNING_SECRET,
        },
    ),
    "WebhookChange": (
        "PATCH",
        "/api/v1/webhooks/{webhook}",
        {
            "url": "https://hooks.example.com/b",
            "events": ["*"],
            "description": "Ours",
            "isEnabled": True,
        },
    ),
    "SecretRotation": (
        "POST",
        "/api/v1/webhooks/{webhook}/rotate-secret",
        {"overlapSeconds": 60, "secret": SIGNING_SECRET},
    ),
    "ResendRequest": (
        "POST",
        "/api/v1/webhooks/{webhook}/resend",
        {"since": "2026-11-30T00:00:00Z", "status": "failed"},
    ),
    "ApiKeyChange": ("PATCH", "/api/v1/api-keys/{key}", {"name": "ci"}),
    "AccountRequest": (
        "POST",
        "/api/v1/installation/accounts",
        {"name": "Team", "creditUsd": 1, "isUnlimited": False},
    ),
    "InstalledAccountChange": (
        "PATCH",
        "/api/v1/installation/accounts/{account}",
        {"name": "Team", "limits": {"runningTasks": 1}, "suspendedAt": None},
    ),
    "CreditRequest": ("POST", "/api/v1/installation/accounts/{account}/credit", {"amountUsd": 1}),
    "RunnerChange": ("PATCH", "/api/v1/installation/runners/run_none", {"isDraining": False}),
    "LoginRequest": ("POST", "/session", {"apiKey": "ac_live_0", "isConfirmed": True}),
    "CliLoginRequest": ("POST", "/api/v1/cli-logins", {"hostname": "laptop"}),
    "CliLoginDecision": (
        "POST",
        "/api/v1/cli-logins/{login}/decide",
        {"isApproved": True, "role": "viewer"},
    ),
    "CliLoginPoll": ("POST", "/api/v1/cli-logins/poll", {"deviceCode": "none"}),
}
# What the right body is answered, where it is not 201 to POST and 200 to others.
ANSWERS = {
    "RunnerChange": 404, "CompletionRequest": 404, "WakeRequest": 200, "LinkRequest": 200, "ProviderTest": 200,
    "SecretRotation": 200, "ResendRequest": 200, "CliLoginDecision": 200, "CliLoginPoll": 401,
    "LoginRequest": 403,  # only a browser's page may log in
}  # fmt: skip

NOT_STRINGS = [1, True, [], {}]
NOT_INTEGERS = ["1", True, 1.5, [], {}, HUGE, -HUGE - 1, 1e300]
NOT_BOOLEANS = ["true", 1, 0, [], {}]
NOT_OBJECTS = ["x", 1, True, []]
NOT_ARRAYS = ["x", 1, True, {}]
UNSTORABLE = ["a\0b", LONE_SURROGATE]
SECONDS = [*NOT_INTEGERS, 0, -1, 86_401]
ID = [*NOT_STRINGS, *UNSTORABLE, "", "x" * 65, "a/b", "a b", "é"]
MODEL = [*NOT_STRINGS, *UNSTORABLE, "", "x" * 201, "gpt 5", "gpt-5\n"]
MEDIA_TYPE = [
    *NOT_STRINGS,
    *UNSTORABLE,
    "",
    "text",
    "text/",
    "/csv",
    "text/csv\r\nX: y",
    "text/csv; x",
    "x/" + "y" * 254,
]
PRICE = ["1", True, [], {}, -0.01, 1e300]
WEBHOOK_URL = [
    *NOT_STRINGS, *UNSTORABLE, "", "hooks.example.com", "ftp://hooks.example.com/", "http://hooks.example.com/",
    "https://user:secret@hooks.example.com/", "https://10.0.0.1/", "https://hooks.example.com/#part",
]  # fmt: skip
KEY = [*NOT_STRINGS, *UNSTORABLE, "", "short", "x" * 513, "with space", "ключ-от-двери", "tab\tinside"]

# body → path → values that are wrong there.
FIELDS: dict[str, dict[str, list[Any]]] = {
    "DispatchRequest": {
        "instructions": [
            MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", " \n\t", "x" * (512 * 1024 + 1), "é" * 256 * 1025,
        ],
        "versionId": ID,
        "inputFileIds": [*NOT_ARRAYS, ["file_0"] * 1001],
        "inputFileIds.0": [None, *ID],
        "inputFiles": [*NOT_ARRAYS, [{"fileId": "file_0"}] * 1001],
        "inputFiles.0": [None, *NOT_OBJECTS],
        "inputFiles.0.fileId": [MISSING, None, *ID],
        "inputFiles.0.snapshot": [*NOT_STRINGS, "exclude", ""],
        "title": [*NOT_STRINGS, *UNSTORABLE, "", "  ", "x" * 201, "two\nlines", "\x1b[31mred"],
        "metadata": [*NOT_OBJECTS, {"x": "y" * 16 * 1024}],
        "metadata.x": [*UNSTORABLE, float("nan"), float("inf"), -float("inf"), HUGE, -HUGE - 1, 1e19, 10**4000],
        "metadata.x.0.y": [*UNSTORABLE, float("nan")],
        "titleSource": [*NOT_STRINGS, "", "Model"],
        "skills": [*NOT_ARRAYS, ["file_0"] * 101],
        "skills.0": [None, *ID, "file_0"],
        "inputRepositories": [*NOT_ARRAYS, [{"url": "https://example.org/a"}] * 11],
        "inputRepositories.0": [None, *NOT_OBJECTS],
        "inputRepositories.0.url": [
            MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "file:///etc", "ssh://git@example.org/a", "ext::sh -c id",
            "/srv/git", "https://user:secret@example.org/a", "https://example.org/a?b=c", "https://example.org/a#b",
            "-upload-pack=x", "https://",
        ],
        "inputRepositories.0.ref": [*NOT_STRINGS, *UNSTORABLE, "", "-x", "a..b", "a b", "x" * 300],
        "inputRepositories.0.path": [*NOT_STRINGS, *UNSTORABLE, "", "..", "a/b"],
        "inputRepositories.0.token": [*NOT_STRINGS, *UNSTORABLE, "", "a b"],
        "overrides.egress": NOT_OBJECTS,
        "overrides.egress.allow": [MISSING, None, *NOT_ARRAYS, [], ["a.b"] * 101],
        "overrides.egress.allow.0": [
            None, *NOT_STRINGS, "", "*", "*.", "a.*.b", "a b", "a/b", "http://a.b", "a.b:", "a.b:0", "a.b:65536",
            "a.b:x", "a..b", ".a.b", "-a.b", "1.2.3", "1.2.3.4.5", "*.1.2.3.4", "[::1]", "a@b", "bücher.de",
            "x" * 64 + ".com", "a." * 127 + "ab",
        ],
        "overrides.callbackUrl": WEBHOOK_URL,
        "overrides.budget": [*NOT_OBJECTS, {}],
        "overrides.budget.maxCostUsd": ["1", True, [], {}, 0, -1, 10_001, 0.0000001],
        "overrides.budget.maxTokens": [*NOT_INTEGERS, 0, -1],
        "overrides.budget.onReached": [*NOT_STRINGS, "", "Pause"],
        "overrides": NOT_OBJECTS,
        "overrides.provider": [*NOT_STRINGS, "", "google", "OpenAI"],
        "overrides.providerApiKey": KEY,
        "overrides.runtime": [*NOT_STRINGS, "", "Pi", "claude-code"],
        "overrides.model": MODEL,
        "overrides.weakModel": MODEL,
        "overrides.internetAccess": NOT_BOOLEANS,
        "overrides.maxRuntimeSeconds": SECONDS,
        "overrides.softFinishAfterSeconds": [*SECONDS, 600, 601],
        "overrides.priority": [*NOT_INTEGERS, -11, 11],
        "overrides.runtimeRegion": [*NOT_STRINGS, "", "us"],
        "overrides.outputPolicy": NOT_OBJECTS,
        "overrides.outputPolicy.mode": [MISSING, None, *NOT_STRINGS, "", "some"],
        "overrides.outputPolicy.files": [
            MISSING, None, *NOT_ARRAYS, [], [{"name": "a"}, {"name": "a"}], [{"name": f"n{n}"} for n in range(101)],
            [{"name": f"n{n}", "jsonSchema": {"description": "x" * 60_000}} for n in range(5)],
        ],
        "overrides.outputPolicy.files.0": [None, *NOT_OBJECTS],
        "overrides.outputPolicy.files.0.name": [
            MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "x" * 65, "a/b", "a=b", "a b", "é",
        ],
        "overrides.outputPolicy.files.0.required": NOT_BOOLEANS,
        "overrides.outputPolicy.files.0.contentType": MEDIA_TYPE,
        "overrides.outputPolicy.files.0.maxBytes": [*NOT_INTEGERS, 0, -1],
        "overrides.outputPolicy.files.0.jsonSchema": [
            "x", 1, [], {"type": "no-such-type"}, {"$ref": "http://127.0.0.1/x"}, {"description": "x" * 64 * 1024},
        ],
    },
    "UploadRequest": {
        "filename": [
            MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", ".", "..", "a/b", "/etc/passwd", "..\\b", "a\nb", "a\x7fb",
            "x" * 256, "é" * 128, "line\u2028break",
        ],
        "contentType": [MISSING, None, *MEDIA_TYPE],
        "sizeBytes": [*NOT_INTEGERS, -1],
    },
    "CompletionRequest": {
        "uploadId": [MISSING, None, *ID],
        "storageId": [*NOT_STRINGS, *UNSTORABLE, "x" * 257],
    },
    "ProviderKeyInput": {
        "apiKey": KEY,
        "baseUrl": [
            MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "models.example.com", "ftp://models.example.com/",
            "http://models.example.com/v1", "https://user:secret@models.example.com/v1", "https://10.0.0.1/v1",
        ],
        "api": [MISSING, None, *NOT_STRINGS, "", "openai"],
        "price": NOT_OBJECTS,
        "price.input": [MISSING, None, *PRICE],
        "price.output": [MISSING, None, *PRICE],
        "price.cacheRead": PRICE,
        "price.cacheWrite": PRICE,
    },
    "ProviderTest": {"model": MODEL},
    "ApiKeyRequest": {
        "name": [MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "x" * 101, "two\nlines", "\x1b[31mred"],
    },
    "CliLoginRequest": {
        "hostname": [MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "x" * 101, "two\nlines", "\x1b[31mred"],
    },
    "CliLoginDecision": {
        "isApproved": [MISSING, None, *NOT_BOOLEANS],
        "role": [*NOT_STRINGS, "", "owner"],
    },
    "RunnerChange": {"isDraining": [MISSING, None, *NOT_BOOLEANS]},
    "CliLoginPoll": {"deviceCode": [MISSING, None, *NOT_STRINGS, *UNSTORABLE, "", "x" * 201]},
    "LoginRequest": {
        "apiKey": [*NOT_STRINGS, *UNSTORABLE, "", "x" * 201],
        "code": [*NOT_STRINGS, *UNSTORABLE, "", "x" * 201],
        "isConfirmed": NOT_BOOLEANS,
    },
    "ResendRequest": {
        "since": [MISSING, None, *NOT_STRINGS, "", "yesterday", "2026-11-30", "2026-11-30T00:00:00"],
        "status": [*NOT_STRINGS, "", "pending"],
    },
    "SecretRotation": {
        "overlapSeconds": [*NOT_INTEGERS, -1, 30 * 86_400 + 1],
        "secret": [*NOT_STRINGS, *UNSTORABLE, "", "secret", "whsec_", "whsec_AAAA", "whsec_" + "A" * 500],
    },
}  # fmt: skip
LINE = [*NOT_STRINGS, *UNSTORABLE, "", "two\nlines", "\x1b[31mred"]
TIME = [*NOT_STRINGS, *UNSTORABLE, "", "tomorrow", "2031-01-01", "2031-01-01T00:00:00"]
USD = ["1", True, [], {}, -1, 1e300, 0.0000001]
KEY_GRANT = {
    "role": [*NOT_STRINGS, "", "owner", "operator"],
    "agentIds": [*NOT_ARRAYS, [], [AGENT] * 101, ["agt_0"]],
    "agentIds.0": [None, *ID],
    "expiresAt": [*TIME, "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"],
    "limits": NOT_OBJECTS,
    "limits.costUsdPerDay": USD,
    "limits.tasksPerDay": [*NOT_INTEGERS, -1, 10**6 + 1],
    "limits.maxPriority": [*NOT_INTEGERS, -1, 11],
}
FIELDS["ApiKeyRequest"] |= KEY_GRANT
FIELDS |= {
    "ApiKeyChange": {"name": FIELDS["ApiKeyRequest"]["name"][2:], **KEY_GRANT},
    "AccountRequest": {
        "name": [MISSING, None, *LINE],
        "email": [*LINE, "nobody"],
        "creditUsd": USD,
        "isUnlimited": NOT_BOOLEANS,
    },
    "InstalledAccountChange": {
        "name": LINE,
        "limits": NOT_OBJECTS,
        "limits.runningTasks": [*NOT_INTEGERS, -1, 2**31],
        "limits.queuedTasks": [*NOT_INTEGERS, -1, 2**31],
        "limits.costUsdPerDay": USD,
        "limits.maxPriority": [*NOT_INTEGERS, -1, 11],
        "suspendedAt": TIME,
    },
    "CreditRequest": {"amountUsd": [MISSING, None, 0, *USD]},
}
WEBHOOK_EVENTS = [*NOT_ARRAYS, [], ["*"] * 101]
WEBHOOK_DESCRIPTION = [*NOT_STRINGS, *UNSTORABLE, "two\nlines", "\x1b[31mred"]
FIELDS |= {
    "NewWebhook": {
        "url": [MISSING, None, *WEBHOOK_URL],
        "events": [None, *WEBHOOK_EVENTS],
        "events.0": [None, *NOT_STRINGS],
        "description": WEBHOOK_DESCRIPTION,
        "secret": FIELDS["SecretRotation"]["secret"],
    },
    "WebhookChange": {
        "url": WEBHOOK_URL,
        "events": WEBHOOK_EVENTS,
        "events.0": [None, *NOT_STRINGS],
        "description": WEBHOOK_DESCRIPTION,
        "isEnabled": NOT_BOOLEANS,
    },
}
IN_DEFAULTS = ("provider", "model", "weakModel", "internetAccess", "maxRuntimeSeconds", "softFinishAfterSeconds",
               "runtimeRegion", "outputPolicy")  # fmt: skip
IN_AGENT: dict[str, list[Any]] = {
    "name": [*NOT_STRINGS, *UNSTORABLE, "", "  ", "x" * 201, "two\nlines", "\x1b[31mred"],
    "description": [*NOT_STRINGS, *UNSTORABLE, "x" * 4001],
    "runtime": NOT_OBJECTS,
    "runtime.containerImage": [
        *NOT_STRINGS,
        "",
        "x" * 1001,
        "a b",
        "Python",
        "python:3.14",
        "http://x",
        "oci:/etc",
        "oci:x",
        "x@sha256:1",
    ],
    "runtime.agentRuntime": [*NOT_STRINGS, "", "Pi"],
    "basePrompt": [*NOT_STRINGS, *UNSTORABLE, "x" * 100_001, "é" * 50_001],
    "defaults": NOT_OBJECTS,
    "defaults.sessionTtlSeconds": [*NOT_INTEGERS, 0, -1, 30 * 86_400 + 1],
    "referenceFileIds": [*NOT_ARRAYS, ["file_0"] * 1001],
    "referenceFileIds.0": [None, *ID, "file_0"],
    "skills": [*NOT_ARRAYS, ["file_0"] * 101],
    "skills.0": [None, *ID, "file_0"],
    **{
        path.replace("overrides", "defaults"): values
        for path, values in FIELDS["DispatchRequest"].items()
        if path.startswith("overrides.") and path.split(".")[1] in IN_DEFAULTS
    },
}
WORDS = FIELDS["DispatchRequest"]["instructions"]
OPTIONAL_WORDS = [value for value in WORDS if value is not MISSING and value is not None]
FIELDS |= {
    "NewAgent": {**IN_AGENT, "name": [MISSING, None, *IN_AGENT["name"]]},
    "AgentChange": IN_AGENT | {"ifCurrentVersionId": ID},
    "ConversationRequest": FIELDS["DispatchRequest"] | {"message": WORDS, "instructions": OPTIONAL_WORDS},
    "MessageRequest": {
        "content": WORDS,
        **{
            path: values
            for path, values in FIELDS["DispatchRequest"].items()
            if path.startswith(("inputFile", "overrides"))
        },
    },
    "HandoffRequest": {"message": OPTIONAL_WORDS},
    "SteeringRequest": {"content": WORDS},
    "TaskChange": {
        path.removeprefix("overrides."): values
        for path, values in FIELDS["DispatchRequest"].items()
        if path == "title" or path.startswith(("metadata", "overrides.budget"))
    },
    "AccountChange": {
        "name": [*NOT_STRINGS, *UNSTORABLE, "", "  ", "x" * 201, "two\nlines", "\x1b[31mred"],
        "email": [*NOT_STRINGS, *UNSTORABLE, "", "nobody", "a@b@c", "a b@example.com", "x" * 251 + "@b.c"],
        "lowBalanceUsd": ["1", True, [], {}, -1, 0.0000001, 1e10],
        "usageMetadataKeys": [*NOT_ARRAYS, list("abcdef"), ["a", "a"]],
        "usageMetadataKeys.0": [None, *NOT_STRINGS, *UNSTORABLE, "", "  ", "x" * 101, "two\nlines", "a,b"],
    },
    "WakeRequest": {
        "kind": [MISSING, None, *NOT_STRINGS, "", "Message", "deadline", "link"],
        "message": WORDS,
        **{
            path: values for path, values in FIELDS["DispatchRequest"].items() if path.startswith("overrides")
        },
    },
    "LinkRequest": {"message": OPTIONAL_WORDS},
    "BatchRequest": {
        "tasks": [MISSING, None, *NOT_ARRAYS, [], [{"instructions": "x"}] * 1001],
        "tasks.0": [None, *NOT_OBJECTS],
        "common": NOT_OBJECTS,
        **{
            f"{place}.{path}": [next(value for value in values if value is not MISSING and value is not None)]
            for place in ("tasks.0", "common")
            for path, values in FIELDS["DispatchRequest"].items()
        },
    },
}


@dataclass(frozen=True)
class Case:
    """A body with one wrong value at `path`."""

    model: str
    path: str
    value: Any = field(repr=False)

    def __str__(self) -> str:
        value = "missing" if self.value is MISSING else ascii(self.value)
        return f"{self.model}-{self.path}-{value[:30]}"

    @property
    def reported_path(self) -> str:
        return re.sub(r"^tasks\.(\d+)", r"tasks[\1]", self.path)

    def body(self) -> dict[str, Any]:
        body = copy.deepcopy(BODIES[self.model][2])
        *above, last = [int(step) if step.isdecimal() else step for step in self.path.split(".")]
        target: Any = body
        for step, following in zip(above, [*above, last][1:], strict=True):
            at = target.get(step) if isinstance(step, str) else target[step]
            if not isinstance(at, dict | list):
                target[step] = [None] if isinstance(following, int) else {}
            target = target[step]
        if self.value is MISSING:
            target.pop(last, None)
        else:
            target[last] = self.value
        if "inputFiles.0." in self.path and last != "fileId":
            target["fileId"] = "file_0"
        if "inputRepositories.0." in self.path and last != "url":
            target["url"] = "https://example.org/a"
        return body


def cases() -> list[Case]:
    wrong_cases = [
        Case(model, path, value)
        for model, table in FIELDS.items()
        for path, values in table.items()
        for value in values
    ]
    objects = {(model, path.rpartition(".")[0]) for model, table in FIELDS.items() for path in table}
    return wrong_cases + [
        Case(model, f"{path}.unknownField".lstrip("."), 1)
        for model, path in sorted(objects)
        if path.rpartition(".")[2]
        not in (
            "agentIds",
            "allow",
            "events",
            "inputFileIds",
            "inputFiles",
            "inputRepositories",
            "files",
            "referenceFileIds",
            "skills",
            "usageMetadataKeys",
        )
        and ".metadata." not in f".{path}."
        and (model, path) != ("BatchRequest", "tasks")
    ]
