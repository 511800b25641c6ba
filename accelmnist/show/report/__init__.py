"""Reports: one tree of content made from records, laid out as HTML by Jinja2 and as PDF by Typst.

document.py      the tree: a report, its sections, and the blocks that they are made of
compose.py       from records to the tree
opening.py  search.py  training.py  answers.py  atlas.py  speed.py  judgement.py  remake.py
                 a chapter each
observations.py  sentences on what the network confuses, and why that is plausible
pictures.py      small images by the hundred, and figures as SVG
notes.py         the reader's own Markdown
html.py, pdf.py  a file from the tree, by the templates in templates/
"""
