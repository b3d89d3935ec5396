"""`python -m agentcontainer_client.cli`."""

from agentcontainer_client.cli import main

if __name__ == "__main__":
    main()
