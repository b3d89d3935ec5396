"""How a hibernating task is woken.

`domain/tasks` has the status and what a task does when it begins to hibernate.
"""
