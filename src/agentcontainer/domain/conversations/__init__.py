"""The turns, messages and activities of conversations.

A conversation is a task, whose row `domain/tasks` writes.
"""
