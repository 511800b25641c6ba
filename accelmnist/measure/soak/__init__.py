"""The soak: one training replayed on every device, again and again, each time held to the first to the bit.

`session` asks the devices, a process each (`station`, and `worker` over there), round by round; `replays` finds what
differs and names it; `judgement` says what all of it means, from the record alone.
"""
