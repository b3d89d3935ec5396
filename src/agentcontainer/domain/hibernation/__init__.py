"""Hibernation: how a task that sleeps is woken. That it sleeps is a status of the tasks folder's."""
