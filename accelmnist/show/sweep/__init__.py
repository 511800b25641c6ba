"""A sweep on the console, from its record alone.

live      the table that is drawn anew while it runs
observer  who draws it, or writes plain lines through a pipe
table     the page at the end
line      the one line of --quiet
columns   what the rows of both tables say
"""
