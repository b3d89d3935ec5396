"""Runs one task with the models that datamodel-code-generator writes as `models`.

Arguments: BASE_URL API_KEY INSTRUCTIONS. Prints the bytes of the task's output file.
"""

import sys
import time

import httpx
import models

base_url, api_key, instructions = sys.argv[1:]
headers = {"Authorization": f"Bearer {api_key}"}
with httpx.Client(base_url=f"{base_url}/api/v1", headers=headers, trust_env=False) as client:
    body = models.DispatchRequest(instructions=instructions).model_dump(exclude_none=True)
    answer = client.post("/agents/agt_standard_data/tasks", json=body)
    task = models.Task.model_validate_json(answer.raise_for_status().content)
    while task.status in (models.TaskStatus.pending, models.TaskStatus.running):
        time.sleep(0.2)
        task = models.Task.model_validate_json(client.get(f"/tasks/{task.id}").raise_for_status().content)
    assert task.status == models.TaskStatus.finished, task
    events = models.EventPage.model_validate_json(client.get(f"/tasks/{task.id}/events").content)
    print([event.root.type for event in events.data], file=sys.stderr)
    files = models.OutputFilePage.model_validate_json(client.get(f"/tasks/{task.id}/files").content)
    content = client.get(f"/tasks/{task.id}/files/{files.data[0].id}").raise_for_status().content
    sys.stdout.buffer.write(content)
