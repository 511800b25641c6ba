"""The four ways in which a document is shown: console (rich), Markdown, HTML (Jinja2) and PDF (Typst).

None of them knows a record: what is said, and in which order, is the document's.
"""
