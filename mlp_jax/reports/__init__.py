"""What is told about runs afterwards: the table of runs, comparisons, the HTML page of one."""
