"""Reports: from the records of a run, a sweep and a benchmark to one document, chapter by chapter (`compose`)."""
