"""Conversations: turns, messages, activities. A conversation is a task: see the tasks folder."""
