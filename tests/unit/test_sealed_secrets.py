"""Every place that encrypts a secret is known to the rotation of the secret key."""

import ast
from pathlib import Path

import agentcontainer
from agentcontainer.domain.installation.rotation import SEALED_COLUMNS

SOURCE = Path(agentcontainer.__file__).parent
WHERE_IT_IS_STORED = {
    "api/http/idempotency.py": {("idempotency_keys", "response")},
    "domain/accounts/service.py": {("provider_keys", "ciphertext")},
    "domain/conversations/service.py": {("messages", "provider_key_ciphertext")},
    "domain/installation/service.py": {("installation", "canary")},
    "domain/tasks/creation.py": {("tasks", "provider_key_ciphertext"), ("tasks", "input_repositories")},
    "domain/tasks/repositories.py": {("tasks", "input_repositories")},
    "domain/tasks/service.py": {("tasks", "provider_key_ciphertext")},
    "domain/webhooks/service.py": {
        ("webhook_endpoints", "secret"),
        ("webhook_endpoints", "previous_secret"),
        ("callback_secrets", "secret"),
        ("callback_secrets", "previous_secret"),
    },
}


def seals(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "seal"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_what_a_module_encrypts_is_encrypted_again_by_the_rotation() -> None:
    sealing = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if seals(path)}
    assert sealing - {"domain/accounts/vault.py"} == set(WHERE_IT_IS_STORED), (
        "A module that encrypts is new: say here in which column it stores the ciphertext, and let "
        "domain/installation/rotation.py encrypt that column again."
    )
    assert set().union(*WHERE_IT_IS_STORED.values()) == SEALED_COLUMNS
