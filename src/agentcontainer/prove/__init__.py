"""The escape suite: attempts to get out of a sandbox as it is installed here, each with a control that succeeds.

An attempt is data: a payload, what stands outside for it to reach, and a place for its control, which is the same
payload with that protection taken away. scene.py makes the ground of one run, places.py the places, bait.py what there
is to reach, run.py judges. One file a group, a line each in groups.py.
"""
