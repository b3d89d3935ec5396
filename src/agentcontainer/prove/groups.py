"""Lists the groups of attempts.

A new group is a file, and a line here.
"""

from agentcontainer.prove.attempt import Group
from agentcontainer.prove.credentials import CREDENTIALS
from agentcontainer.prove.files import FILES
from agentcontainer.prove.gateway import GATEWAY
from agentcontainer.prove.kernel import KERNEL
from agentcontainer.prove.namespaces import NAMESPACES
from agentcontainer.prove.network import NETWORK
from agentcontainer.prove.outputs import OUTPUTS
from agentcontainer.prove.processes import PROCESSES
from agentcontainer.prove.resources import RESOURCES
from agentcontainer.prove.sockets import SOCKETS

GROUPS: tuple[Group, ...] = (
    FILES, PROCESSES, KERNEL, NAMESPACES, NETWORK, SOCKETS, RESOURCES, CREDENTIALS, OUTPUTS, GATEWAY,
)  # fmt: skip
