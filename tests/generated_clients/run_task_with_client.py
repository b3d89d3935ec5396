"""Runs one task with the package that openapi-python-client generates as `generated`.

Arguments: BASE_URL API_KEY INSTRUCTIONS. Prints the bytes of the task's output file.
"""

import sys
import time

from generated import AuthenticatedClient
from generated.api.events import list_events
from generated.api.files import download_output_file, list_output_files
from generated.api.tasks import dispatch_task, get_task
from generated.models import DispatchRequest, Error, Task, TaskStatus

base_url, api_key, instructions = sys.argv[1:]
with AuthenticatedClient(base_url, api_key, raise_on_unexpected_status=True) as client:
    task = dispatch_task.sync("agt_standard_data", client=client, body=DispatchRequest(instructions))
    while isinstance(task, Task) and task.status in (TaskStatus.PENDING, TaskStatus.RUNNING):
        time.sleep(0.2)
        task = get_task.sync(task.id, client=client)
    assert isinstance(task, Task), task
    assert task.status == TaskStatus.FINISHED, task
    events = list_events.sync(task.id, client=client)
    assert events is not None and not isinstance(events, Error), events
    print([event.type_ for event in events.data], file=sys.stderr)
    files = list_output_files.sync(task.id, client=client)
    assert files is not None and not isinstance(files, Error), files
    content = download_output_file.sync_detailed(task.id, files.data[0].id, client=client).content
    sys.stdout.buffer.write(content)
