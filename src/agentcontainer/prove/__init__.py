"""The escape suite: attempts to get out of a sandbox as it is installed here, each with a control that must succeed.

An attempt is data: a payload, a target outside the sandbox, and two places to run the payload: the sandbox (the attack)
and the same without the protection that is tested (the control). An attempt counts as blocked only if its control
succeeds.

attempt.py defines these types, payload.py the scripts, targets.py the targets, places.py the places, trial.py the
folders and clean-up of one run, run.py the verdict. groups.py lists the groups; each has a file of its own.
"""
