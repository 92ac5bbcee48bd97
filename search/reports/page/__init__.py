"""A report as one page of HTML, for people who were not there: what a run found, or several runs side by side."""
