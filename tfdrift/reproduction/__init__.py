"""The paper's figures and our tables, by name.

experiment          what an experiment is
paper_experiments   the paper's figures
table_experiments   our tables
new_patients        experiments on patients that are drawn anew, and their scores
experiments         all of them by name
cached_runs         training runs that experiments share
predictions         what a run says of patients it has not seen
paper_scores        the numbers behind a figure
regions             core and rim, and whether two groups differ in them
group_maps          mean drift from the middle of lesions to around them, by group
paper_figures       grids of images
paper_diagram       the two methods as a flow
paper_curves        charts
drawings            how each kind of experiment is drawn
reproduce           runs experiments and writes their files
"""
