"""The path parameters that hold ids."""

from typing import Annotated

from agentcontainer.api.http.routing import id_in_path

AccountIdInPath = Annotated[str, id_in_path("accountId")]
AgentId = Annotated[str, id_in_path("agentId")]
DeliveryId = Annotated[str, id_in_path("deliveryId")]
BatchId = Annotated[str, id_in_path("batchId")]
FileId = Annotated[str, id_in_path("fileId")]
KeyId = Annotated[str, id_in_path("keyId")]
RunnerId = Annotated[str, id_in_path("runnerId")]
TaskId = Annotated[str, id_in_path("taskId")]
UploadId = Annotated[str, id_in_path("uploadId")]
VersionId = Annotated[str, id_in_path("versionId")]
WebhookId = Annotated[str, id_in_path("webhookId")]
