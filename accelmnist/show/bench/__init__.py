"""What is shown of a benchmark on the console and in Markdown, from its record alone.

What is said is made first, as plain text, and is the same everywhere: `naming` (what a case is called), `figures`,
`parts` (which cases stand in one table), `columns` (what stands in it), `headline`, `remarks` and `limits`. The rest
brings it to where it is read: `table` and `pages` to the console, `live` and `observer` while it runs, `markdown` and
`line`.
"""
